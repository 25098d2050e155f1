/* task_input.c: see task_input.h. What the gateway asks of a body, asked here, since
 * only here it is known which message the text is to be. */
#define _GNU_SOURCE /* memrchr */
#include "service/task_input.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/pbuf.h"
#include "schema/scan.h"
#include "schema/transcode.h"
#include "schema/validate.h"

#define JSON_TYPE "errand.v1.Json"

/* --- as JSON --- */

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* null is what is not there, but to a Value, of which it is one. */
static bool is_nothing(const struct schema_message *m, struct bytes text)
{
	while (text.len > 0 && is_space(text.data[0]))
		text = (struct bytes){text.data + 1, text.len - 1};
	while (text.len > 0 && is_space(text.data[text.len - 1]))
		text.len--;
	return m->well_known != WK_VALUE && text.len == 4 && memcmp(text.data, "null", 4) == 0;
}

static int read_json(const struct schema *schema, const struct schema_message *m, struct bytes json,
		     const char *prefix, struct buf *out, struct fault_list *faults)
{
	const struct transcode_read o = {.schema = schema};
	struct pbuf_reader r = pbuf_reader(json.data, json.len);
	struct bytes text = {0};
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		if (f.number == 1 && f.wire == PBUF_LEN)
			text = f.bytes;
	if (is_nothing(m, text))
		return 0;
	return transcode_from_json(&o, m, (const char *)text.data, text.len, prefix, out, faults);
}

/* --- as a message --- */

/* The name behind the last slash of a type_url. */
static struct bytes type_name(struct bytes type)
{
	const uint8_t *slash = type.len > 0 ? memrchr(type.data, '/', type.len) : NULL;

	if (slash == NULL)
		return type;
	return (struct bytes){slash + 1, (size_t)(type.data + type.len - slash - 1)};
}

static bool bytes_are(struct bytes b, const char *text)
{
	return b.len == strlen(text) && memcmp(b.data, text, b.len) == 0;
}

static int read_any(const struct schema *schema, const struct schema_message *m, struct bytes type,
		    struct bytes value, const char *prefix, struct buf *out, struct fault_list *faults)
{
	const struct bytes name = type_name(type);

	if (bytes_are(name, JSON_TYPE) && strcmp(m->name, JSON_TYPE) != 0)
		return read_json(schema, m, value, prefix, out, faults);
	if (bytes_are(name, m->name) || (name.len == 0 && value.len == 0)) {
		buf_append(out, value.data, value.len);
		return 0;
	}
	fault_add(faults, FAULT_SCHEMA, FAULT_POINTER, prefix, "any", (const char *)name.data, name.len,
		  "the method's input is a %s", m->name);
	return -ERRAND_INVALID_ARGUMENT;
}

/* --- both --- */

/* Can it be unpacked? What came in parts is merged in out. */
static int check_form(const struct schema_message *m, const char *prefix, size_t begin, struct buf *out,
		      struct fault_list *faults)
{
	const struct bytes whole = {out->data + begin, out->len - begin};
	AUTO_BUF merged = BUF_INIT;
	char why[256];

	if (scan_message(m, whole, NULL, &merged, why, sizeof why) < 0) {
		fault_add(faults, FAULT_SCHEMA, FAULT_POINTER, prefix, "type", NULL, 0, "%s", why);
		return -ERRAND_INVALID_ARGUMENT;
	}
	if (merged.len > 0) {
		out->len = begin;
		buf_append(out, merged.data, merged.len);
	}
	return 0;
}

/* validate.c's pointers begin at the message: "#/title" is "#/input/title" here. */
static void put_prefix(struct fault_list *faults, size_t from, const char *prefix)
{
	for (size_t i = from; i < faults->n; i++) {
		char *where = faults->items[i].where;

		faults->items[i].where = xasprintf("%s%s", prefix, where + (where[0] == '#'));
		free(where);
	}
}

static int check_rules(const struct method *method, struct bytes input, const char *prefix,
		       struct fault_list *faults)
{
	size_t n_before = faults->n;

	if (method->schema->input->has_rules)
		validate_message(method->schema->input, input, NULL, faults);
	if (method->runner != NULL && method->runner->check != NULL)
		method->runner->check(method, input, faults);
	put_prefix(faults, n_before, prefix);
	return faults->n > n_before ? -ERRAND_INVALID_ARGUMENT : 0;
}

int task_input_read(const struct schema *schema, const struct method *method, struct bytes type,
		    struct bytes value, const char *prefix, struct buf *out, struct fault_list *faults)
{
	const struct schema_message *m = method->schema->input;
	size_t begin = out->len;
	int err = read_any(schema, m, type, value, prefix, out, faults);

	if (err == 0)
		err = check_form(m, prefix, begin, out, faults);
	if (err == 0)
		err = check_rules(method, (struct bytes){out->data + begin, out->len - begin}, prefix, faults);
	if (err < 0)
		out->len = begin;
	return err < 0 ? -ERRAND_INVALID_ARGUMENT : 0;
}
