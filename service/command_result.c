/* command_result.c: see command_result.h. */
#define _GNU_SOURCE
#include "service/command_result.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/json.h"
#include "base/pbuf.h"
#include "errand/status.h"
#include "schema/transcode.h"

enum { TEXT_OUTPUT = 1, TEXT_STATUS = 2, BODY_TYPE = 1, BODY_DATA = 2 };

static int wrong(char *why, size_t why_size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static int wrong(char *why, size_t why_size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, why_size, fmt, ap);
	va_end(ap);
	return -ERRAND_INTERNAL;
}

/* --- text --- */

/* Valid UTF-8 without NUL, so that every client can have it. */
static void put_text(struct buf *out, struct bytes text)
{
	static const char other[] = "\xef\xbf\xbd";

	for (size_t at = 0, len; at < text.len; at += len) {
		const uint8_t *nul;

		len = json_utf8_valid(text.data + at, text.len - at);
		nul = memchr(text.data + at, '\0', len);
		len = nul != NULL ? (size_t)(nul - text.data) - at : len;
		buf_append(out, text.data + at, len);
		if (at + len == text.len)
			return;
		buf_append(out, other, sizeof other - 1);
		len++;
	}
}

static struct bytes trim(struct bytes b)
{
	while (b.len > 0 && memchr(" \t\r\n", b.data[b.len - 1], 4) != NULL)
		b.len--;
	while (b.len > 0 && memchr(" \t\r\n", b.data[0], 4) != NULL)
		b = (struct bytes){b.data + 1, b.len - 1};
	return b;
}

/* --- JSON: the text of one member; it has been read as JSON before --- */

static const uint8_t *skip_blank(const uint8_t *p, const uint8_t *end)
{
	while (p < end && memchr(" \t\r\n", *p, 4) != NULL)
		p++;
	return p;
}

static const uint8_t *skip_string(const uint8_t *p, const uint8_t *end)
{
	for (p++; p < end && *p != '"'; p++)
		p += *p == '\\';
	return p < end ? p + 1 : end;
}

static const uint8_t *skip_value(const uint8_t *p, const uint8_t *end)
{
	size_t depth = 0;

	while (p < end) {
		if (*p == '"') {
			p = skip_string(p, end);
		} else {
			if (depth == 0 && memchr(",]} \t\r\n", *p, 7) != NULL)
				return p;
			depth += *p == '{' || *p == '[';
			depth -= *p == '}' || *p == ']';
			p++;
		}
		if (depth == 0 && (p[-1] == '"' || p[-1] == '}' || p[-1] == ']'))
			return p;
	}
	return end;
}

static bool find_member(struct bytes object, const char *name, size_t name_len, struct bytes *out)
{
	const uint8_t *end = object.data + object.len, *p = skip_blank(object.data, end);

	if (p == end || *p != '{')
		return false;
	for (p = skip_blank(p + 1, end); p < end && *p == '"'; p = skip_blank(p + (p < end && *p == ','), end)) {
		const uint8_t *key = p + 1, *value;
		size_t len;

		p = skip_string(p, end);
		len = (size_t)(p - key) - 1;
		value = skip_blank(p, end);
		value = skip_blank(value + (value < end), end); /* behind the colon */
		p = skip_value(value, end);
		if (len == name_len && memcmp(key, name, len) == 0) {
			*out = (struct bytes){value, (size_t)(p - value)};
			return true;
		}
		p = skip_blank(p, end);
	}
	return false;
}

/* A member of a JSON object, "a.b" for one further in, as its text. json is valid.
 * False when it is not there. */
static bool member_at(struct bytes json, const char *path, struct bytes *out)
{
	*out = json;
	for (size_t len; *path != '\0'; path += len + (path[len] == '.')) {
		len = strcspn(path, ".");
		if (!find_member(*out, path, len, out))
			return false;
	}
	return true;
}

/* --- files --- */

/* Links are not followed, wherever in the name: the program, which may run as somebody with
 * less rights, is not to choose what the service reads. */
static int open_plain(const char *path)
{
	struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK, .resolve = RESOLVE_NO_SYMLINKS};
	int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);

	if (fd < 0 && errno == ENOSYS)
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	return fd;
}

static int read_all(int fd, size_t max, struct buf *out)
{
	for (;;) {
		uint8_t *room = buf_reserve(out, 64 << 10);
		ssize_t n = room != NULL ? read(fd, room, 64 << 10) : -1;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		out->len += (size_t)n;
		if (out->len > max)
			return -EFBIG;
	}
}

static int read_file(const struct command_output *o, const struct command_template *name, struct buf *out,
		     char *why, size_t why_size)
{
	const int64_t max = o->scope->in->spec->max_output;
	AUTO_FREE char *path = command_template_text(o->scope, name);
	AUTO_CLOSE int fd = -1;
	struct stat st;
	int err = 0;

	if (path == NULL)
		return wrong(why, why_size, "a parameter of the result's file name is not given");
	fd = open_plain(path);
	if (fd < 0 || fstat(fd, &st) < 0)
		err = -errno;
	else if (!S_ISREG(st.st_mode))
		return wrong(why, why_size, "the result %s is no regular file", path);
	else if (st.st_nlink > 1 && o->scope->in->spec->user != NULL)
		return wrong(why, why_size, "the result %s is a hard link: of another user's program it could be to any file",
			     path);
	if (err == 0)
		err = read_all(fd, (size_t)max, out);
	if (err == -EFBIG)
		return wrong(why, why_size, "the result %s has more than %lld bytes (max_output)", path, (long long)max);
	if (err == -ELOOP)
		return wrong(why, why_size, "there is a symbolic link in the name of the result %s", path);
	return err < 0 ? wrong(why, why_size, "the result %s cannot be read: %s", path, strerror(-err)) : 0;
}

/* --- kinds --- */

static int put_json(const struct command_output *o, const char *what, struct bytes json, struct buf *out,
		    char *why, size_t why_size)
{
	const struct transcode_read how = {.schema = o->schema};
	struct fault_list faults = FAULT_LIST_INIT;
	int err = transcode_from_json(&how, o->message, (const char *)json.data, json.len, "#", out, &faults);

	if (err < 0)
		wrong(why, why_size, "%s is not the JSON it should be: %s: %s", what, faults.items[0].where,
		      faults.items[0].detail);
	fault_list_deinit(&faults);
	return err < 0 ? -ERRAND_INTERNAL : 0;
}

static void put_body(const struct command_output *o, struct bytes data, struct buf *out)
{
	pbuf_put_str(out, BODY_TYPE, o->scope->in->spec->content_type);
	pbuf_put_bytes(out, BODY_DATA, data.data, data.len);
}

static int put_file(const struct command_output *o, struct buf *out, char *why, size_t why_size)
{
	AUTO_BUF data = BUF_INIT;
	int err = read_file(o, &o->scope->in->spec->result_file, &data, why, why_size);

	if (err == 0)
		put_body(o, buf_bytes(&data), out);
	return err;
}

static void put_output(const struct command_output *o, struct buf *out)
{
	AUTO_BUF text = BUF_INIT;

	put_text(&text, o->text);
	if (text.len > 0)
		pbuf_put_bytes(out, TEXT_OUTPUT, text.data, text.len);
	if (o->status != 0)
		pbuf_put_uint(out, TEXT_STATUS, (uint64_t)o->status);
}

/* --- fields --- */

/* JSON text as a field's value. */
static int put_field_json(const struct command_output *o, const struct schema_field *f, struct bytes json,
			  struct buf *out, char *why, size_t why_size)
{
	const struct transcode_read how = {.schema = o->schema};
	struct fault_list faults = FAULT_LIST_INIT;
	int err = transcode_field_from_json(&how, f, (const char *)json.data, json.len, "#", out, &faults);

	if (err < 0)
		wrong(why, why_size, "%s: %s", f->name, faults.items[0].detail);
	fault_list_deinit(&faults);
	return err < 0 ? -ERRAND_INTERNAL : 0;
}

/* Plain text as a field's value: all of it for texts and bytes, without blanks around it for others. */
static int put_field_text(const struct command_output *o, const struct command_result *r,
			  const struct schema_field *f, struct bytes text, struct buf *out, char *why, size_t why_size)
{
	struct fault_list faults = FAULT_LIST_INIT;
	AUTO_BUF valid = BUF_INIT;
	int err;

	if (r->type == PARAM_JSON)
		return put_field_json(o, f, text, out, why, why_size);
	if (r->type == PARAM_BYTES || r->type == PARAM_STRING) {
		if (r->type == PARAM_STRING)
			put_text(&valid, text);
		text = r->type == PARAM_STRING ? buf_bytes(&valid) : text;
		pbuf_put_bytes(out, f->number, text.data, text.len);
		return 0;
	}
	text = trim(text);
	err = transcode_field_from_text(&f, 1, (const char *)text.data, text.len, f->name, out, &faults);
	if (err < 0)
		wrong(why, why_size, "%s: %s", f->name, faults.items[0].detail);
	fault_list_deinit(&faults);
	return err < 0 ? -ERRAND_INTERNAL : 0;
}

/* Once for all members: is stdout JSON at all? */
static int check_json(const struct command_output *o, char *why, size_t why_size)
{
	static const char name[] = "google.protobuf.Struct";
	struct command_output whole = *o;
	AUTO_BUF wire = BUF_INIT;

	whole.message = schema_message(o->schema, name, sizeof name - 1);
	if (whole.message == NULL)
		return wrong(why, why_size, "%s is not in the schema", name);
	return put_json(&whole, "stdout", o->text, &wire, why, why_size);
}

static int put_member(const struct command_output *o, const struct command_result *r, const struct schema_field *f,
		      struct buf *out, char *why, size_t why_size)
{
	struct bytes member;

	if (!member_at(o->text, r->arg, &member))
		return wrong(why, why_size, "%s: stdout's JSON has no member %s", r->name, r->arg);
	return put_field_json(o, f, member, out, why, why_size);
}

static int put_field(const struct command_output *o, const struct command_result *r, const struct schema_field *f,
		     struct buf *out, char *why, size_t why_size)
{
	AUTO_BUF data = BUF_INIT;
	int err = 0;

	switch (r->source) {
	case FROM_STDOUT_JSON:
		return put_member(o, r, f, out, why, why_size);
	case FROM_STDOUT:
		return put_field_text(o, r, f, o->text, out, why, why_size);
	case FROM_EXIT:
		buf_printf(&data, "%d", o->status);
		break;
	case FROM_CONST:
		buf_append_str(&data, r->arg);
		break;
	case FROM_FILE:
		err = read_file(o, &r->file, &data, why, why_size);
	}
	return err < 0 ? err : put_field_text(o, r, f, buf_bytes(&data), out, why, why_size);
}

static int put_fields(const struct command_output *o, struct buf *out, char *why, size_t why_size)
{
	const struct command_spec *spec = o->scope->in->spec;
	bool checked = false;
	int err = 0;

	for (size_t i = 0; err == 0 && i < spec->n_results; i++) {
		const struct command_result *r = &spec->results[i];
		const struct schema_field *f = schema_field_by_number(o->message, (uint32_t)i + 1);

		if (f == NULL)
			return wrong(why, why_size, "%s is not in the schema", r->name);
		if (r->source == FROM_STDOUT_JSON && !checked)
			err = check_json(o, why, why_size);
		checked |= r->source == FROM_STDOUT_JSON;
		if (err == 0)
			err = put_field(o, r, f, out, why, why_size);
	}
	return err;
}

int command_result_make(const struct command_output *o, struct buf *out, char *why, size_t why_size)
{
	switch (o->scope->in->spec->result) {
	case RESULT_TEXT:
		put_output(o, out);
		return 0;
	case RESULT_JSON:
		return put_json(o, "stdout", o->text, out, why, why_size);
	case RESULT_BYTES:
		put_body(o, o->text, out);
		return 0;
	case RESULT_FILE:
		return put_file(o, out, why, why_size);
	case RESULT_FIELDS:
		return put_fields(o, out, why, why_size);
	case RESULT_NONE:
		break;
	}
	return 0;
}
