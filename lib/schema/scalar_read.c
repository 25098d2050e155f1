/* scalar_read.c: one JSON value, or one plain text, as a scalar of a field's
 * type: numbers in numbers or strings, enums by name or number, base64. */
#include <stdio.h>

#include "base/json.h"
#include "schema/base64.h"
#include "schema/number.h"
#include "schema/reader.h"

static const char *expected_of(enum field_type t)
{
	switch (t) {
	case FIELD_DOUBLE: return "a number (double)";
	case FIELD_FLOAT: return "a number (float)";
	case FIELD_INT64: case FIELD_SFIXED64: case FIELD_SINT64: return "an integer (64 bits)";
	case FIELD_UINT64: case FIELD_FIXED64: return "an unsigned integer (64 bits)";
	case FIELD_INT32: case FIELD_SFIXED32: case FIELD_SINT32: return "an integer (32 bits)";
	case FIELD_FIXED32: case FIELD_UINT32: return "an unsigned integer (32 bits)";
	case FIELD_BOOL: return "true or false";
	case FIELD_STRING: return "a string";
	case FIELD_BYTES: return "a string in base64";
	case FIELD_ENUM: return "an enum value's name or number";
	default: return "an object";
	}
}

/* The integer types: range, then the form the wire has. */
static enum number_result to_bits(const struct number *n, enum field_type t, uint64_t *bits)
{
	enum number_result res;
	int64_t v = 0;

	switch (t) {
	case FIELD_UINT32:
	case FIELD_FIXED32:
		return number_to_uint(n, UINT32_MAX, bits);
	case FIELD_UINT64:
	case FIELD_FIXED64:
		return number_to_uint(n, UINT64_MAX, bits);
	case FIELD_INT64:
	case FIELD_SINT64:
	case FIELD_SFIXED64:
		res = number_to_int(n, INT64_MIN, INT64_MAX, &v);
		break;
	default:
		res = number_to_int(n, INT32_MIN, INT32_MAX, &v);
		break;
	}
	*bits = (uint64_t)v;
	if (t == FIELD_SINT32 || t == FIELD_SINT64)
		*bits = *bits << 1 ^ (v < 0 ? UINT64_MAX : 0);
	return res;
}

static enum number_result to_float_bits(const struct number *n, enum field_type t, uint64_t *bits)
{
	enum number_result res;
	double d = 0;
	float f = 0;
	uint32_t small;

	if (t == FIELD_DOUBLE) {
		res = number_to_double(n, &d);
		memcpy(bits, &d, 8);
		return res;
	}
	res = number_to_float(n, &f);
	memcpy(&small, &f, 4);
	*bits = small;
	return res;
}

/* raw is what the client wrote, for the fault. */
static int number_put(struct reader *r, const struct schema_field *f, const struct number *n,
		      struct bytes raw, uint64_t *bits)
{
	enum number_result res = f->type == FIELD_DOUBLE || f->type == FIELD_FLOAT ?
		to_float_bits(n, f->type, bits) : to_bits(n, f->type, bits);

	if (res == NUMBER_OK)
		return READ_OK;
	if (res == NUMBER_NOT_INTEGER)
		return reader_fault(r, "type", raw.data, raw.len, "expected %s, not a fraction",
				    expected_of(f->type));
	return reader_fault(r, "range", raw.data, raw.len, "out of range: expected %s",
			    expected_of(f->type));
}

static bool is(struct bytes text, const char *word)
{
	return text.len == strlen(word) && memcmp(text.data, word, text.len) == 0;
}

static bool special_double(struct bytes text, enum field_type t, uint64_t *bits)
{
	bool small = t == FIELD_FLOAT;

	if (is(text, "NaN"))
		*bits = small ? 0x7fc00000 : 0x7ff8000000000000;
	else if (is(text, "Infinity"))
		*bits = small ? 0x7f800000 : 0x7ff0000000000000;
	else if (is(text, "-Infinity"))
		*bits = small ? 0xff800000 : 0xfff0000000000000;
	else
		return false;
	return true;
}

static int number_from_text(struct reader *r, const struct schema_field *f, struct bytes text,
			    uint64_t *bits)
{
	struct number n;

	if ((f->type == FIELD_DOUBLE || f->type == FIELD_FLOAT) && special_double(text, f->type, bits))
		return READ_OK;
	if (text.len == 0 || number_scan(text.data, text.data + text.len, &n) != text.data + text.len)
		return reader_fault(r, "type", text.data, text.len, "expected %s", expected_of(f->type));
	return number_put(r, f, &n, text, bits);
}

static int read_number(struct reader *r, const struct schema_field *f, uint64_t *bits)
{
	uint8_t c = reader_peek(r);
	const uint8_t *end;
	struct bytes text;
	struct number n;

	if (c == '"') {
		if (reader_string(r, &text) < 0)
			return READ_STOP;
		return number_from_text(r, f, text, bits);
	}
	if (c != '-' && (uint8_t)(c - '0') > 9)
		return reader_mismatch(r, expected_of(f->type));
	end = number_scan(r->p, r->end, &n);
	if (end == NULL)
		return reader_syntax(r, "syntax", "not a number as JSON writes them");
	r->p = end;
	return number_put(r, f, &n, n.text, bits);
}

/* --- enums --- */

static int enum_unknown(struct reader *r, const struct schema_field *f, struct bytes text)
{
	return reader_fault(r, "enum", text.data, text.len, "%.*s is not a value of %s",
			    (int)MIN(text.len, 64), (const char *)text.data, f->enumeration->name);
}

static int enum_from_number(struct reader *r, const struct schema_field *f, const struct number *n,
			    uint64_t *bits)
{
	int err = number_put(r, f, n, n->text, bits);

	/* a closed enum (proto2) has no room for other numbers; and null, which is how a
	 * NullValue is written, could not tell them */
	if (err == READ_OK && (f->enumeration->closed || f->enumeration->is_null_value) &&
	    schema_enum_by_number(f->enumeration, (int32_t)*bits) == NULL)
		return enum_unknown(r, f, n->text);
	return err;
}

static int enum_from_name(struct reader *r, const struct schema_field *f, struct bytes text,
			  uint64_t *bits)
{
	const struct schema_enum_value *v =
		schema_enum_by_name(f->enumeration, (const char *)text.data, text.len);

	if (v != NULL) {
		*bits = (uint64_t)(int64_t)v->number;
		return READ_OK;
	}
	if (r->o != NULL && r->o->ignore_unknown)
		return READ_SKIP;
	return enum_unknown(r, f, text);
}

static int read_enum(struct reader *r, const struct schema_field *f, uint64_t *bits)
{
	uint8_t c = reader_peek(r);
	const uint8_t *end;
	struct bytes text;
	struct number n;

	if (c == '"')
		return reader_string(r, &text) < 0 ? READ_STOP : enum_from_name(r, f, text, bits);
	if (c == 'n' && f->enumeration->is_null_value) {
		*bits = 0;
		return reader_literal(r, "null");
	}
	if (c != '-' && (uint8_t)(c - '0') > 9)
		return reader_mismatch(r, expected_of(f->type));
	end = number_scan(r->p, r->end, &n);
	if (end == NULL)
		return reader_syntax(r, "syntax", "not a number as JSON writes them");
	r->p = end;
	return enum_from_number(r, f, &n, bits);
}

/* --- text --- */

static int read_bool(struct reader *r, uint64_t *bits)
{
	uint8_t c = reader_peek(r);

	if (c != 't' && c != 'f')
		return reader_mismatch(r, expected_of(FIELD_BOOL));
	*bits = c == 't';
	return reader_literal(r, c == 't' ? "true" : "false");
}

static int read_string(struct reader *r, struct bytes *text)
{
	if (reader_peek(r) != '"')
		return reader_mismatch(r, expected_of(FIELD_STRING));
	if (reader_string(r, text) < 0)
		return READ_STOP;
	if (r->nul && !r->o->allow_nul)
		return reader_fault(r, "nul", NULL, 0, "a string may not contain U+0000");
	return READ_OK;
}

/* The bytes replace the text in r->scratch. */
static int bytes_from_text(struct reader *r, struct bytes text, struct bytes *out)
{
	AUTO_BUF decoded = BUF_INIT;

	if (!base64_decode(&decoded, text))
		return reader_fault(r, "type", text.data, text.len, "expected %s",
				    expected_of(FIELD_BYTES));
	buf_deinit(&r->scratch);
	r->scratch = decoded;
	decoded = BUF_INIT;
	*out = buf_bytes(&r->scratch);
	return READ_OK;
}

static int read_bytes(struct reader *r, struct bytes *out)
{
	struct bytes text;

	if (reader_peek(r) != '"')
		return reader_mismatch(r, expected_of(FIELD_BYTES));
	if (reader_string(r, &text) < 0)
		return READ_STOP;
	if (text.data == r->scratch.data)
		return bytes_from_text(r, text, out);
	/* the usual case: no escapes, so scratch is free to decode into */
	buf_reset(&r->scratch);
	if (!base64_decode(&r->scratch, text))
		return reader_fault(r, "type", text.data, text.len, "expected %s",
				    expected_of(FIELD_BYTES));
	*out = buf_bytes(&r->scratch);
	return READ_OK;
}

int scalar_read(struct reader *r, const struct schema_field *f, struct scalar *v)
{
	v->bits = 0;
	v->text = (struct bytes){0};
	switch (f->type) {
	case FIELD_STRING:
		return read_string(r, &v->text);
	case FIELD_BYTES:
		return read_bytes(r, &v->text);
	case FIELD_BOOL:
		return read_bool(r, &v->bits);
	case FIELD_ENUM:
		return read_enum(r, f, &v->bits);
	default:
		return read_number(r, f, &v->bits);
	}
}

static int text_from_text(struct reader *r, struct bytes text, struct scalar *v)
{
	if (json_utf8_valid(text.data, text.len) != text.len) {
		fault_add(r->faults, FAULT_SYNTAX, r->fault_place, r->prefix, "utf8", NULL, 0, "not UTF-8");
		return READ_SKIP;
	}
	if (text.len > 0 && memchr(text.data, 0, text.len) != NULL && !r->o->allow_nul)
		return reader_fault(r, "nul", NULL, 0, "a string may not contain U+0000");
	v->text = text;
	return READ_OK;
}

int scalar_from_text(struct reader *r, const struct schema_field *f, struct bytes text,
		     struct scalar *v)
{
	struct number n;

	v->bits = 0;
	v->text = (struct bytes){0};
	switch (f->type) {
	case FIELD_STRING:
		return text_from_text(r, text, v);
	case FIELD_BYTES:
		return bytes_from_text(r, text, &v->text);
	case FIELD_BOOL:
		v->bits = is(text, "true");
		if (v->bits || is(text, "false"))
			return READ_OK;
		return reader_fault(r, "type", text.data, text.len, "expected true or false");
	case FIELD_ENUM:
		if (text.len > 0 && number_scan(text.data, text.data + text.len, &n) == text.data + text.len)
			return enum_from_number(r, f, &n, &v->bits);
		return enum_from_name(r, f, text, &v->bits);
	default:
		return number_from_text(r, f, text, &v->bits);
	}
}

void scalar_put(struct buf *out, const struct schema_field *f, const struct scalar *v)
{
	uint8_t *p = buf_reserve(out, v->text.len + 10), *w = p;

	if (p == NULL)
		return;
	switch (f->type) {
	case FIELD_STRING:
	case FIELD_BYTES:
		w = pbuf_write_varint(w, v->text.len);
		if (v->text.len > 0)
			memcpy(w, v->text.data, v->text.len);
		w += v->text.len;
		break;
	case FIELD_DOUBLE:
	case FIELD_FIXED64:
	case FIELD_SFIXED64:
		for (int i = 0; i < 8; i++)
			*w++ = (uint8_t)(v->bits >> (8 * i));
		break;
	case FIELD_FLOAT:
	case FIELD_FIXED32:
	case FIELD_SFIXED32:
		for (int i = 0; i < 4; i++)
			*w++ = (uint8_t)(v->bits >> (8 * i));
		break;
	default:
		w = pbuf_write_varint(w, v->bits);
		break;
	}
	out->len += (size_t)(w - p);
}
