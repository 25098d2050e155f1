/* command_input.c: see command_input.h. */
#define _GNU_SOURCE
#include "service/command_input.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/pbuf.h"
#include "schema/base64.h"

enum { BODY_TYPE = 1, BODY_DATA = 2 }; /* google.api.HttpBody */

/* --- reading --- */

static void values_drop(struct command_value *v)
{
	for (size_t i = 0; i < v->n; i++)
		free(v->items[i].data);
	free(v->items);
	*v = (struct command_value){0};
}

static void add(struct command_value *v, bool repeated, const void *data, size_t len)
{
	struct command_text text;

	if (!repeated)
		values_drop(v);
	if ((v->n & (v->n - 1)) == 0)
		v->items = xrealloc(v->items, (v->n ? 2 * v->n : 1) * sizeof *v->items);
	text = (struct command_text){xmalloc(len + 1), len};
	if (len > 0)
		memcpy(text.data, data, len);
	text.data[len] = '\0';
	v->items[v->n++] = text;
	v->given = true;
}

/* Shortest that reads back as the same; what JSON would quote comes without quotes. */
static void put_number(struct buf *out, double d)
{
	AUTO_BUF text = BUF_INIT;
	size_t quote;

	json_put_double(&text, d);
	quote = text.len > 0 && text.data[0] == '"';
	buf_append(out, text.data + quote, text.len - 2 * quote);
}

static void add_scalar(struct command_value *v, const struct command_param *p, uint64_t value)
{
	AUTO_BUF text = BUF_INIT;

	if (p->type == PARAM_INT)
		buf_printf(&text, "%d", (int32_t)value);
	else if (p->type == PARAM_LONG)
		buf_printf(&text, "%lld", (long long)value);
	else if (p->type == PARAM_NUMBER)
		put_number(&text, pbuf_double(value));
	else
		buf_append_str(&text, value != 0 ? "true" : "false");
	add(v, p->repeated, text.data, text.len);
}

/* A list in one record. */
static void add_packed(struct command_value *v, const struct command_param *p, struct bytes packed)
{
	struct pbuf_reader r = pbuf_reader(packed.data, packed.len);
	uint64_t value;

	while (r.p < r.end) {
		if (p->type != PARAM_NUMBER) {
			if (!pbuf_read_varint(&r, &value))
				return;
		} else {
			value = 0;
			if (r.end - r.p < 8)
				return;
			for (int i = 0; i < 8; i++)
				value |= (uint64_t)r.p[i] << (8 * i);
			r.p += 8;
		}
		add_scalar(v, p, value);
	}
}

static bool is_text(const struct command_param *p)
{
	return p->type == PARAM_STRING || p->type == PARAM_PATH || p->type == PARAM_BYTES;
}

static void take_param(struct command_value *v, const struct command_param *p, const struct pbuf_field *f)
{
	enum pbuf_wire scalar = p->type == PARAM_NUMBER ? PBUF_I64 : PBUF_VARINT;

	if (is_text(p) && f->wire == PBUF_LEN)
		add(v, p->repeated, f->bytes.data, f->bytes.len);
	else if (!is_text(p) && f->wire == scalar)
		add_scalar(v, p, f->value);
	else if (!is_text(p) && f->wire == PBUF_LEN && p->repeated)
		add_packed(v, p, f->bytes);
}

static bool is_http_body(const struct schema_message *m)
{
	return m != NULL && strcmp(m->name, "google.api.HttpBody") == 0;
}

static void take_body(struct command_input *in, struct bytes wire)
{
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		if (f.wire == PBUF_LEN && f.number == BODY_DATA)
			in->body = f.bytes;
		else if (f.wire == PBUF_LEN && f.number == BODY_TYPE)
			in->body_type = f.bytes;
}

/* The field behind the parameters. */
static void take_body_field(struct command_input *in, const struct schema_field *known, const struct pbuf_field *f)
{
	if (known == NULL || f->wire != PBUF_LEN)
		return;
	if (is_http_body(known->message))
		take_body(in, f->bytes);
	else if (known->type == FIELD_BYTES)
		in->body = f->bytes;
}

/* What is not on the wire: its default, or the zero of a field that is always there. */
static void fill(struct command_value *v, const struct command_param *p, const struct schema_field *f)
{
	if (v->given || p->repeated)
		return;
	if (p->fallback != NULL) {
		add(v, false, p->fallback, strlen(p->fallback));
		v->fallback = true;
	} else if (f != NULL && !f->presence && is_text(p)) {
		add(v, false, "", 0);
	} else if (f != NULL && !f->presence) {
		add_scalar(v, p, 0);
	}
}

void command_input_read(struct command_input *in, const struct command_spec *spec,
			const struct schema_message *m, struct bytes wire)
{
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	struct pbuf_field f;

	*in = (struct command_input){.spec = spec, .values = xcalloc(spec->n_params + 1, sizeof *in->values)};
	if (is_http_body(m))
		take_body(in, wire);
	while (!is_http_body(m) && pbuf_next(&r, &f)) {
		size_t at = (size_t)f.number - 1;

		if (at < spec->n_params)
			take_param(&in->values[at], &spec->params[at], &f);
		else if (at == spec->n_params && spec->stdin_from == STDIN_BODY)
			take_body_field(in, schema_field_by_number(m, f.number), &f);
	}
	for (size_t i = 0; i < spec->n_params; i++)
		fill(&in->values[i], &spec->params[i], schema_field_by_number(m, (uint32_t)i + 1));
}

void command_input_deinit(struct command_input *in)
{
	for (size_t i = 0; in->spec != NULL && i < in->spec->n_params; i++)
		values_drop(&in->values[i]);
	free(in->values);
	*in = (struct command_input){0};
}

void command_input_replace(struct command_input *in, size_t param, size_t i, char *text)
{
	struct command_text *t = &in->values[param].items[i];

	free(t->data);
	*t = (struct command_text){text, strlen(text)};
}

bool command_input_is_true(const struct command_input *in, int param)
{
	const struct command_value *v = &in->values[param];

	return v->n > 0 && strcmp(v->items[0].data, "true") == 0;
}

/* --- as JSON --- */

static void put_text(struct buf *out, const struct command_param *p, const struct command_text *t)
{
	switch (p->type) {
	case PARAM_STRING:
	case PARAM_PATH:
		json_put_string(out, t->data, t->len);
		break;
	case PARAM_BYTES:
		buf_append_byte(out, '"');
		base64_encode(out, (struct bytes){(const uint8_t *)t->data, t->len});
		buf_append_byte(out, '"');
		break;
	case PARAM_INT:
	case PARAM_LONG: /* a default may be "+5" or "007" */
		buf_printf(out, "%lld", strtoll(t->data, NULL, 10));
		break;
	case PARAM_NUMBER:
		json_put_double(out, strtod(t->data, NULL));
		break;
	default:
		buf_append(out, t->data, t->len);
	}
}

static void put_list(struct buf *out, const struct command_param *p, const struct command_value *v)
{
	buf_append_byte(out, '[');
	for (size_t i = 0; i < v->n; i++) {
		if (i > 0)
			buf_append_byte(out, ',');
		put_text(out, p, &v->items[i]);
	}
	buf_append_byte(out, ']');
}

void command_input_json(const struct command_input *in, struct buf *out)
{
	const char *comma = "";

	buf_append_byte(out, '{');
	for (size_t i = 0; i < in->spec->n_params; i++) {
		const struct command_param *p = &in->spec->params[i];

		if (!in->values[i].given)
			continue;
		buf_append_str(out, comma);
		json_put_cstr(out, p->name);
		buf_append_byte(out, ':');
		if (p->repeated)
			put_list(out, p, &in->values[i]);
		else
			put_text(out, p, &in->values[i].items[0]);
		comma = ",";
	}
	buf_append_byte(out, '}');
}

/* --- faults --- */

void command_fault(const struct command_input *in, size_t param, size_t i, const char *rule,
		   struct fault_list *faults, const char *fmt, ...)
{
	const struct command_param *p = &in->spec->params[param];
	const struct command_text *t = &in->values[param].items[i];
	AUTO_FREE char *where = p->repeated ? xasprintf("#/%s/%zu", p->name, i) : xasprintf("#/%s", p->name);
	AUTO_FREE char *text = NULL;
	va_list ap;

	for (size_t k = 0; k < faults->n; k++)
		if (strcmp(faults->items[k].where, where) == 0)
			return;
	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	fault_add(faults, FAULT_SCHEMA, FAULT_POINTER, where, rule, t->data, t->len, "%s", text);
}
