#define _GNU_SOURCE
#include "cli/show.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <time.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/pbuf.h"
#include "cli/cli.h"
#include "schema/problem.h"
#include "schema/transcode.h"

/* --- the terminal --- */

bool show_is_terminal(FILE *f)
{
	const char *term = getenv("TERM");

	return isatty(fileno(f)) && (term == NULL || strcmp(term, "dumb") != 0);
}

static enum {COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER} color; /* as --color says */

bool show_color(const char *when)
{
	static const char *const names[] = {"auto", "always", "never"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(when, names[i]) == 0) {
			color = i;
			return true;
		}
	return false;
}

bool show_has_color(FILE *f)
{
	const char *no = getenv("NO_COLOR"); /* no-color.org: set and not empty */

	if (color != COLOR_AUTO)
		return color == COLOR_ALWAYS;
	return show_is_terminal(f) && (no == NULL || *no == '\0');
}

/* Only a locale that says otherwise: in a container it is often not set at all. */
bool show_has_utf8(void)
{
	static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const char *v = getenv(names[i]);

		if (v != NULL && *v != '\0')
			return strcasestr(v, "utf-8") != NULL || strcasestr(v, "utf8") != NULL;
	}
	return true;
}

int show_width(FILE *f)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;

	if (ioctl(fileno(f), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		return size.ws_col;
	return columns != NULL && atoi(columns) > 0 ? atoi(columns) : 80;
}

void show_text(FILE *f, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
			fputs("\xef\xbf\xbd", f);
		else
			putc(c, f);
	}
}

/* --- JSON --- */

static int put_json(const struct buf *json, int r, const char *why)
{
	if (r < 0) {
		cli_error("the answer does not fit the service's schema: %s", why);
		return CLI_FAILED;
	}
	fwrite(json->data, 1, json->len, stdout);
	putchar('\n');
	return cli_flush();
}

int show_json(const struct schema *s, const struct schema_message *m, struct bytes wire,
	      bool pretty)
{
	struct transcode_write o = {.schema = s, .pretty = pretty};
	AUTO_BUF json = BUF_INIT;
	char why[256] = "";
	int r = transcode_to_json(&o, m, wire, &json, why, sizeof why);

	return put_json(&json, r, why);
}

int show_json_field(const struct schema *s, const struct schema_field *f, struct bytes wire,
		    bool pretty)
{
	struct transcode_write o = {.schema = s, .pretty = pretty};
	AUTO_BUF json = BUF_INIT;
	char why[256] = "";
	int r = transcode_field_to_json(&o, f, wire, &json, why, sizeof why);

	return put_json(&json, r, why);
}

/* --- problems --- */

/* errand.v1.Violation; the numbers of its place are those of enum place. */
static void put_violation(struct bytes wire)
{
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	struct bytes place = {NULL, 0}, detail = {NULL, 0}, value = {NULL, 0};
	struct pbuf_field f;

	while (pbuf_next(&r, &f)) {
		if (f.number >= 1 && f.number <= 3)
			place = f.bytes;
		else if (f.number == 5)
			detail = f.bytes;
		else if (f.number == 6)
			value = f.bytes;
	}
	fputs("  ", stderr);
	show_text(stderr, (const char *)place.data, place.len);
	fputs(": ", stderr);
	show_text(stderr, (const char *)detail.data, detail.len);
	if (value.len > 0) {
		fputs(" (there was ", stderr);
		show_text(stderr, (const char *)value.data, value.len);
		fputc(')', stderr);
	}
	fputc('\n', stderr);
}

static void put_problem_json(const struct schema *s, int code, const char *message,
			     struct bytes problem)
{
	const struct schema_message *m = schema_message(s, "errand.v1.Problem", 17);
	struct transcode_write o = {.schema = s, .skip_zero = true};
	AUTO_BUF json = BUF_INIT;
	char why[256];

	if (m == NULL || problem.len == 0 ||
	    transcode_to_json(&o, m, problem, &json, why, sizeof why) < 0) {
		buf_reset(&json);
		buf_append_str(&json, "{\"code\":");
		json_put_cstr(&json, err_info(code)->name);
		buf_append_str(&json, ",\"detail\":");
		json_put_cstr(&json, message);
		buf_append_str(&json, "}");
	}
	fprintf(stderr, "%s\n", buf_cstr(&json));
}

void show_problem(const char *what, int code, const char *message, struct bytes problem,
		  const struct schema *s)
{
	struct pbuf_reader r = pbuf_reader(problem.data, problem.len);
	struct bytes detail = {(const uint8_t *)message, strlen(message)}, title = {NULL, 0};
	struct bytes name = {(const uint8_t *)err_info(code)->name, strlen(err_info(code)->name)};
	struct pbuf_field f;

	fflush(stdout);
	if (s != NULL) {
		put_problem_json(s, code, message, problem);
		return;
	}
	while (pbuf_next(&r, &f)) {
		if (f.number == 2)
			title = f.bytes;
		else if (f.number == 4 && f.bytes.len > 0)
			detail = f.bytes;
		else if (f.number == 6 && f.bytes.len > 0)
			name = f.bytes;
	}
	if (detail.len == 0)
		detail = title;
	fprintf(stderr, "errand: %s%s", what != NULL ? what : "", what != NULL ? ": " : "");
	show_text(stderr, (const char *)name.data, name.len);
	if (detail.len > 0)
		fputs(": ", stderr);
	show_text(stderr, (const char *)detail.data, detail.len);
	fputc('\n', stderr);
	r = pbuf_reader(problem.data, problem.len);
	while (pbuf_next(&r, &f))
		if (f.number == 7)
			put_violation(f.bytes);
}

static void put_faults_json(const struct fault_list *faults)
{
	static const char *const places[] = {"pointer", "parameter", "header"};
	AUTO_BUF b = BUF_INIT;

	buf_append_str(&b, "{\"code\":\"INVALID_ARGUMENT\",\"errors\":[");
	for (size_t i = 0; i < faults->n; i++) {
		const struct fault *f = &faults->items[i];

		buf_printf(&b, "%s{\"%s\":", i > 0 ? "," : "", places[f->place]);
		json_put_cstr(&b, f->where);
		buf_append_str(&b, ",\"rule\":");
		json_put_cstr(&b, f->rule);
		buf_append_str(&b, ",\"detail\":");
		json_put_cstr(&b, f->detail);
		buf_append_str(&b, "}");
	}
	fprintf(stderr, "%s]}\n", buf_cstr(&b));
}

void show_faults(const char *what, const struct fault_list *faults, bool json)
{
	if (json) {
		put_faults_json(faults);
		return;
	}
	cli_error("%s: the input has %zu fault%s", what, faults->n + faults->n_dropped,
		  faults->n + faults->n_dropped == 1 ? "" : "s");
	for (size_t i = 0; i < faults->n; i++) {
		const struct fault *f = &faults->items[i];

		fprintf(stderr, "  %s: ", f->where);
		show_text(stderr, f->detail, strlen(f->detail));
		if (f->value != NULL) {
			fputs(" (there was ", stderr);
			show_text(stderr, f->value, strlen(f->value));
			fputc(')', stderr);
		}
		fputc('\n', stderr);
	}
	if (faults->n_dropped > 0)
		fprintf(stderr, "  ... and %zu more\n", faults->n_dropped);
}

/* --- times --- */

char *show_duration(int64_t us, char out[24])
{
	int64_t s = MAX(us, 0) / US_PER_S;

	if (s < 10)
		snprintf(out, 24, "%d.%ds", (int)s, (int)(MAX(us, 0) % US_PER_S / 100000));
	else if (s < 60)
		snprintf(out, 24, "%ds", (int)s);
	else if (s < 3600)
		snprintf(out, 24, "%dm%02ds", (int)(s / 60), (int)(s % 60));
	else if (s < 86400)
		snprintf(out, 24, "%dh%02dm", (int)(s / 3600), (int)(s / 60 % 60));
	else
		snprintf(out, 24, "%dd%02dh", (int)MIN(s / 86400, 999999), (int)(s / 3600 % 24));
	return out;
}

char *show_bytes(uint64_t bytes, char out[24])
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
	double n = (double)bytes;
	size_t i = 0;

	for (; n >= 1024 && i + 1 < ARRAY_LEN(units); i++)
		n /= 1024;
	snprintf(out, 24, i == 0 ? "%.0f %s" : "%.1f %s", n, units[i]);
	return out;
}

char *show_time(int64_t wall_us, char out[24])
{
	time_t t = (time_t)(wall_us / US_PER_S), now = (time_t)(clock_wall_us() / US_PER_S);
	struct tm then, today;

	localtime_r(&t, &then);
	localtime_r(&now, &today);
	if (then.tm_yday == today.tm_yday && then.tm_year == today.tm_year)
		strftime(out, 24, "%H:%M:%S", &then);
	else
		strftime(out, 24, "%F %H:%M:%S", &then);
	return out;
}

int show_refused(const struct fault_list *faults, const char *what)
{
	size_t n = faults->n + faults->n_dropped;
	AUTO_BUF line = BUF_INIT;
	char many[64];

	snprintf(many, sizeof many, "%zu faults in the %s", n, what);
	problem_write(&line, fault_http_status(faults), ERRAND_INVALID_ARGUMENT,
		      n == 1 ? faults->items[0].detail : many, NULL, faults);
	fprintf(stderr, "%s\n", buf_cstr(&line));
	return CLI_DATA;
}
