/* doctor.c: `errand doctor`: looks at everything an errand needs and says of each thing
 * whether it is right, what was found, and what to do. It changes nothing. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "cli/doctor_impl.h"
#include "cli/show.h"

static const struct opt options[] = {
	CLI_COMMON(struct doctor_conf),
	{"gateway", 'g', OPT_STRING, offsetof(struct doctor_conf, gateway), NULL, 0, 0, "URL",
	 "a gateway to look at as well, when the service is named by its socket"},
	{"store", 0, OPT_STRING, offsetof(struct doctor_conf, store), NULL, 0, 0, "FILE",
	 "the store's file, when the service cannot say"},
};

static const char usage[] =
	"errand doctor [options]\n\n"
	"Looks at sockets, the service, its gateway, the store, clock, limits, kernel, configuration,\n"
	"time zones and units. Exit status: 0 all is right, 1 there are warnings, 2 something is wrong.";

static const struct {
	void (*look)(struct doctor *d);
	bool local; /* of the service's own machine: not over a URL */
} checks[] = {
	{doctor_socket, true},
	{doctor_service, false},
	{doctor_gateway, false},
	{doctor_versions, false},
	{doctor_store, false},
	{doctor_clock, false},
	{doctor_limits, true},
	{doctor_kernel, true},
	{doctor_configuration, true},
	{doctor_zones, true},
	{doctor_units, true},
};

/* --- findings --- */

static const char *const level_names[] = {"ok", "warn", "fail"};

static void say_json(enum doctor_level level, const char *check, const char *advice, const char *found)
{
	AUTO_BUF line = BUF_INIT;

	buf_append_str(&line, "{\"check\":");
	json_put_cstr(&line, check);
	buf_printf(&line, ",\"level\":\"%s\",\"found\":", level_names[level]);
	json_put_cstr(&line, found);
	if (advice != NULL) {
		buf_append_str(&line, ",\"advice\":");
		json_put_cstr(&line, advice);
	}
	printf("%s}\n", buf_cstr(&line));
}

static void say_text(enum doctor_level level, const char *check, const char *advice, const char *found)
{
	static const char *const colors[] = {"\033[32m", "\033[33m", "\033[31m"};
	bool color = show_has_color(stdout);

	printf("%s%-4s%s  %-13s ", color ? colors[level] : "", level_names[level], color ? "\033[m" : "", check);
	show_text(stdout, found, strlen(found));
	putchar('\n');
	if (advice != NULL)
		printf("      %-13s -> %s\n", "", advice);
}

void doctor_say(struct doctor *d, enum doctor_level level, const char *check, const char *advice,
		const char *fmt, ...)
{
	AUTO_FREE char *found = NULL;
	va_list ap;

	va_start(ap, fmt);
	found = xvasprintf(fmt, ap);
	va_end(ap);
	d->worst = MAX(d->worst, level);
	(d->conf->common.json ? say_json : say_text)(level, check, advice, found);
	fflush(stdout);
}

/* --- what is looked at --- */

/* As liberrand finds it (errand/client.h). */
static char *standard_socket(void)
{
	const char *dir = geteuid() != 0 ? secure_getenv("XDG_RUNTIME_DIR") : NULL;
	char *path;

	if (dir != NULL && dir[0] == '/') {
		path = xasprintf("%s/errand/service.sock", dir);
		if (access(path, F_OK) == 0)
			return path;
		free(path);
	}
	return xstrdup(RUNDIR "/errand/service.sock");
}

/* The URL of --gateway, with the token of the environment; or that of the service. */
static int find_gateway(struct doctor *d)
{
	struct cli_common at = {.url = d->conf->gateway};
	char why[512];
	int r;

	if (at.url == NULL) {
		d->gateway = d->backend.remote;
		return CLI_OK;
	}
	r = target_find(&d->gateway_at, &at);
	if (r != CLI_OK)
		return r;
	d->gateway = remote_open(&d->gateway_at, why, sizeof why);
	if (d->gateway != NULL)
		return CLI_OK;
	cli_error("%s", why);
	return CLI_FAILED;
}

static int doctor_open(struct doctor *d)
{
	struct backend *b = &d->backend;
	char why[512];
	int r = target_find(&b->target, &d->conf->common);

	b->common = &d->conf->common;
	b->deadline = INT64_MAX;
	if (r != CLI_OK)
		return r;
	if (b->target.url == NULL) {
		const char *path = b->target.socket;

		d->socket = path == NULL ? standard_socket() : xstrdup(path + (strncmp(path, "unix:", 5) == 0 ? 5 : 0));
	} else {
		b->remote = remote_open(&b->target, why, sizeof why);
		if (b->remote == NULL)
			cli_error("%s", why);
		r = b->remote != NULL ? CLI_OK : CLI_FAILED;
	}
	return r == CLI_OK ? find_gateway(d) : r;
}

static void doctor_close(struct doctor *d)
{
	if (d->gateway != d->backend.remote)
		remote_close(d->gateway);
	target_deinit(&d->gateway_at);
	backend_close(&d->backend);
	free(d->socket);
}

int doctor_command(int argc, char **argv)
{
	struct doctor_conf conf;
	struct doctor d = {.conf = &conf};
	int first = cli_parse(options, ARRAY_LEN(options), &conf, argc, argv, usage), r;

	if (first != argc) {
		cli_error("doctor: takes no operands");
		return CLI_USAGE;
	}
	cli_errors_as_json(conf.common.json);
	r = doctor_open(&d);
	for (size_t i = 0; r == CLI_OK && i < ARRAY_LEN(checks); i++)
		if (d.socket != NULL || !checks[i].local)
			checks[i].look(&d);
	doctor_close(&d);
	return r == CLI_OK ? (int)d.worst : r;
}
