/* bench_transcode.c: the transcoder alone, one core: MB of JSON a second both
 * ways and time a message, on a mixed message of about 256 bytes and of about
 * 10 KB; beside it jansson and json-c with the same text, where configure found
 * them.
 *
 *   bench_transcode golden.pb [seconds for each figure, 0.3]
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "schema/transcode.h"
#include "tests/bench/rival.h"
#include "tests/support/load.h"

static double seconds = 0.3;

struct subject {
	const char *name;
	const struct schema *schema;
	const struct schema_message *message;
	struct buf json, wire;
};

typedef void work_fn(struct subject *s);

static struct buf scratch;

static void to_wire(struct subject *s)
{
	struct fault_list faults = FAULT_LIST_INIT;
	struct transcode_read o = {.schema = s->schema};

	buf_reset(&scratch);
	if (transcode_from_json(&o, s->message, (char *)s->json.data, s->json.len, "#", &scratch,
				&faults) < 0) {
		fprintf(stderr, "%s: %s\n", faults.items[0].where, faults.items[0].detail);
		exit(1);
	}
}

static void to_json(struct subject *s)
{
	struct transcode_write o = {.schema = s->schema, .skip_zero = true};
	char why[200];

	buf_reset(&scratch);
	if (transcode_to_json(&o, s->message, buf_bytes(&s->wire), &scratch, why, sizeof why) < 0) {
		fprintf(stderr, "%s\n", why);
		exit(1);
	}
}

/* --- rivals --- */

#ifdef HAVE_JANSSON
static void jansson_parse(struct subject *s)
{
	rival_jansson_parse((char *)s->json.data, s->json.len);
}

static void jansson_both(struct subject *s)
{
	rival_jansson_both((char *)s->json.data, s->json.len);
}
#endif

#ifdef HAVE_JSON_C
static void json_c_parse(struct subject *s)
{
	rival_json_c_parse(buf_cstr(&s->json));
}

static void json_c_both(struct subject *s)
{
	rival_json_c_both(buf_cstr(&s->json));
}
#endif

static void measure(struct subject *s, const char *what, work_fn *work)
{
	int64_t start = clock_mono_ns(), now;
	uint64_t n = 0;
	double each;

	do {
		for (int i = 0; i < 32; i++)
			work(s);
		n += 32;
		now = clock_mono_ns();
	} while ((double)(now - start) < seconds * NS_PER_S);
	each = (double)(now - start) / (double)n;
	printf("%-10s %-28s %9.3f us %9.0f MB/s\n", s->name, what, each / 1000,
	       (double)s->json.len / each * 1000);
}

/* --- the messages --- */

static void put_item(struct buf *b, int i)
{
	static const char *const colors[] = {"RED", "GREEN", "COLOR_UNSPECIFIED"};

	buf_printf(b, "{\"id\":\"01936b2c-7a1e-7c3a-9d%02x-0242ac120002\",\"title\":\"示例商品 no. %d\","
		   "\"count\":%d,\"size\":\"%d\",\"price\":%d.%d,\"active\":true,\"color\":\"%s\","
		   "\"created\":\"2026-01-31T12:%02d:00.123Z\",\"tags\":[\"video\",\"fast\"]}",
		   i & 255, i, i * 37, i * 1000003, i * 9, i % 10, colors[i % 3], i % 60);
}

static void make_small(struct buf *b)
{
	put_item(b, 7);
}

static void make_large(struct buf *b)
{
	buf_append_str(b, "{\"id\":\"01936b2c-7a1e-7c3a-9d11-0242ac120002\",\"title\":\"");
	for (int i = 0; i < 20; i++)
		buf_append_str(b, "A line of ordinary text, \\\"quoted\\\" once.\\n");
	buf_append_str(b, "\",\"scores\":[");
	for (int i = 0; i < 200; i++)
		buf_printf(b, "%s%d", i ? "," : "", i * i * 7);
	buf_append_str(b, "],\"labels\":{");
	for (int i = 0; i < 10; i++)
		buf_printf(b, "%s\"label-%d\":\"value of label %d\"", i ? "," : "", i, i);
	buf_append_str(b, "},\"items\":[");
	for (int i = 0; i < 25; i++) {
		if (i > 0)
			buf_append_byte(b, ',');
		put_item(b, i);
	}
	buf_append_str(b, "],\"blob\":\"");
	for (int i = 0; i < 64; i++)
		buf_append_str(b, "AAECAwQFBgcICQoL");
	buf_append_str(b, "\"}");
}

static void run(struct subject *s)
{
	to_wire(s);
	buf_append(&s->wire, scratch.data, scratch.len);
	printf("%s: %zu bytes of JSON, %zu of wire\n", s->name, s->json.len, s->wire.len);
	measure(s, "JSON -> wire", to_wire);
	measure(s, "wire -> JSON", to_json);
#ifdef HAVE_JANSSON
	measure(s, "jansson, parse", jansson_parse);
	measure(s, "jansson, parse and print", jansson_both);
#endif
#ifdef HAVE_JSON_C
	measure(s, "json-c, parse", json_c_parse);
	measure(s, "json-c, parse and print", json_c_both);
#endif
}

int main(int argc, char **argv)
{
	struct subject small = {.name = "small"}, large = {.name = "large"};
	struct schema *s;

	if (argc < 2) {
		fprintf(stderr, "usage: bench_transcode golden.pb [seconds]\n");
		return 64;
	}
	if (argc > 2)
		seconds = atof(argv[2]);
	s = load_set(argv[1]);
	small.schema = large.schema = s;
	small.message = large.message = schema_message(s, "golden.v1.Mixed", strlen("golden.v1.Mixed"));
	make_small(&small.json);
	make_large(&large.json);
	run(&small);
	run(&large);
	buf_deinit(&small.json);
	buf_deinit(&small.wire);
	buf_deinit(&large.json);
	buf_deinit(&large.wire);
	buf_deinit(&scratch);
	schema_unref(s);
	return 0;
}
