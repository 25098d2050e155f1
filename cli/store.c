/* store.c: `errand store VERB`: the service's store as a file. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/pbuf.h"
#include "cli/backend.h"
#include "cli/show.h"
#include "cli/task_view.h"

#define STORE_SERVICE "errand.v1.Store"

struct store_conf {
	struct cli_common common;
};

static const struct opt options[] = {CLI_COMMON(struct store_conf)};

static const char usage[] =
	"errand store VERB [options] [FILE]\n\n"
	"Verbs:\n"
	"  show     what the store is and holds\n"
	"  check    is it sound? the exit status is 1 when it is not\n"
	"  backup   copy it to FILE, which must not be there, while the service runs\n"
	"  vacuum   give its unused pages back to the file system\n\n"
	"A store whose service does not start is checked by errand-service(8) itself.";

/* One verb under way. */
struct store {
	const struct store_conf *conf;
	struct backend backend;
	const char *file;
};

struct verb {
	const char *name;
	int (*run)(struct store *s);
	bool takes_file;
};

/* The call's answer, as JSON when that was asked for (*replyp is NULL then). */
static int call(struct store *s, const char *method, const char *reply_name, const struct buf *in,
		struct errand_reply **replyp)
{
	const struct schema_message *m;
	int r = backend_call(&s->backend, STORE_SERVICE, method, in, replyp);

	if (r != CLI_OK || !s->conf->common.json)
		return r;
	r = backend_schema(&s->backend);
	if (r == CLI_OK && (m = schema_message(s->backend.schema, reply_name, strlen(reply_name))) == NULL) {
		cli_error("the service's schema has no %s", reply_name);
		r = CLI_FAILED;
	}
	if (r == CLI_OK)
		r = show_json(s->backend.schema, m,
			      (struct bytes){(*replyp)->payload, (*replyp)->payload_len}, false);
	return r;
}

/* --- show --- */

/* The numbers of a StoreInfo by their fields; its texts apart. */
struct info {
	uint64_t numbers[16];
	struct bytes kind, path, error;
};

static void show_text_line(const char *name, struct bytes text)
{
	printf("%-8s ", name);
	show_text(stdout, (const char *)text.data, text.len);
	putchar('\n');
}

static void show_count(struct bytes tasks)
{
	struct pbuf_reader r = pbuf_reader(tasks.data, tasks.len);
	uint64_t state = 0, count = 0;
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		*(f.number == 1 ? &state : &count) = f.value;
	printf("%-8s %llu %s\n", "tasks", (unsigned long long)count, task_view_state_name((int)state));
}

static void read_info(struct bytes reply, struct info *out)
{
	struct pbuf_reader r = pbuf_reader(reply.data, reply.len);
	struct pbuf_field f;

	*out = (struct info){.path = {(const uint8_t *)"", 0}};
	while (pbuf_next(&r, &f)) {
		if (f.wire == PBUF_VARINT && f.number < ARRAY_LEN(out->numbers))
			out->numbers[f.number] = f.value;
		else if (f.number == 1)
			out->kind = f.bytes;
		else if (f.number == 2)
			out->path = f.bytes;
		else if (f.number == 11)
			out->error = f.bytes;
	}
}

static void show_info(struct bytes reply)
{
	struct pbuf_reader r = pbuf_reader(reply.data, reply.len);
	struct pbuf_field f;
	struct info i;
	char size[24], log[24], reserve[24];

	read_info(reply, &i);
	show_text_line("kind", i.kind);
	if (i.path.len > 0) {
		show_text_line("path", i.path);
		printf("%-8s %s, log %s\n", "size", show_bytes(i.numbers[4], size), show_bytes(i.numbers[5], log));
		printf("%-8s %llu of %llu bytes, %llu unused\n", "pages", (unsigned long long)i.numbers[7],
		       (unsigned long long)i.numbers[6], (unsigned long long)i.numbers[8]);
		printf("%-8s %llu\n", "schema", (unsigned long long)i.numbers[3]);
		printf("%-8s %s\n", "reserve", show_bytes(i.numbers[9], reserve));
	}
	while (pbuf_next(&r, &f))
		if (f.number == 10)
			show_count(f.bytes);
	if (i.error.len > 0)
		show_text_line("error", i.error);
}

static int store_show(struct store *s)
{
	struct errand_reply *reply = NULL;
	int r = call(s, "GetStore", "errand.v1.StoreInfo", &BUF_INIT, &reply);

	if (r == CLI_OK && !s->conf->common.json)
		show_info((struct bytes){reply->payload, reply->payload_len});
	errand_reply_free(reply);
	return r;
}

/* --- the others --- */

/* CLI_FAILED when there is a fault. */
static int show_check(struct bytes reply, bool quiet)
{
	struct pbuf_reader r = pbuf_reader(reply.data, reply.len);
	uint64_t sound = 0, tasks = 0;
	struct pbuf_field f;

	while (pbuf_next(&r, &f)) {
		if (f.number == 1)
			sound = f.value;
		else if (f.number == 3)
			tasks = f.value;
		else if (f.number == 2 && !quiet) {
			show_text(stdout, (const char *)f.bytes.data, f.bytes.len);
			putchar('\n');
		}
	}
	if (sound && !quiet)
		printf("sound: %llu tasks\n", (unsigned long long)tasks);
	return sound ? CLI_OK : CLI_FAILED;
}

static int store_check(struct store *s)
{
	struct errand_reply *reply = NULL;
	int r = call(s, "CheckStore", "errand.v1.CheckStoreReply", &BUF_INIT, &reply);

	if (r == CLI_OK)
		r = show_check((struct bytes){reply->payload, reply->payload_len}, s->conf->common.json);
	errand_reply_free(reply);
	return r;
}

static uint64_t number_of(const struct errand_reply *reply, uint32_t number)
{
	struct pbuf_reader r = pbuf_reader(reply->payload, reply->payload_len);
	struct pbuf_field f;
	uint64_t value = 0;

	while (pbuf_next(&r, &f))
		if (f.number == number && f.wire == PBUF_VARINT)
			value = f.value;
	return value;
}

/* The service has a folder of its own: it is told the whole path. */
static char *whole_path(const char *file)
{
	AUTO_FREE char *here = NULL;

	if (*file == '/')
		return xstrdup(file);
	here = getcwd(NULL, 0);
	if (here != NULL)
		return xasprintf("%s/%s", here, file);
	cli_error("store backup: the current directory is not known: %s", strerror(errno));
	return NULL;
}

static int store_backup(struct store *s)
{
	AUTO_FREE char *path = whole_path(s->file);
	AUTO_BUF in = BUF_INIT;
	struct errand_reply *reply = NULL;
	char size[24];
	int r;

	if (path == NULL)
		return CLI_FAILED;
	pbuf_put_str(&in, 1, path);
	r = call(s, "BackupStore", "errand.v1.BackupStoreReply", &in, &reply);
	if (r == CLI_OK && !s->conf->common.json)
		printf("%s: %s\n", path, show_bytes(number_of(reply, 2), size));
	errand_reply_free(reply);
	return r;
}

static int store_vacuum(struct store *s)
{
	struct errand_reply *reply = NULL;
	char size[24];
	int r = call(s, "VacuumStore", "errand.v1.VacuumStoreReply", &BUF_INIT, &reply);

	if (r == CLI_OK && !s->conf->common.json)
		printf("%llu pages given back, the file has %s now\n",
		       (unsigned long long)number_of(reply, 1), show_bytes(number_of(reply, 2), size));
	errand_reply_free(reply);
	return r;
}

static const struct verb verbs[] = {
	{"show", store_show, false},
	{"check", store_check, false},
	{"backup", store_backup, true},
	{"vacuum", store_vacuum, false},
};

int store_command(int argc, char **argv)
{
	struct store_conf conf;
	struct store s = {.conf = &conf};
	const struct verb *verb;
	int first = cli_parse(options, ARRAY_LEN(options), &conf, argc, argv, usage);
	int r;

	if (first == argc) {
		cli_error("store: no verb given: errand store show|check|backup FILE|vacuum");
		return CLI_USAGE;
	}
	verb = CLI_FIND(verbs, "verb of errand store", argv[first]);
	if (verb == NULL)
		return CLI_USAGE;
	if (argc - first != (verb->takes_file ? 2 : 1)) {
		cli_error("store %s: %s", verb->name, verb->takes_file ?
			  "name one file, which is not there yet" : "takes options only");
		return CLI_USAGE;
	}
	s.file = verb->takes_file ? argv[first + 1] : NULL;
	r = backend_open(&s.backend, &conf.common);
	if (r == CLI_OK)
		r = verb->run(&s);
	backend_close(&s.backend);
	return r;
}
