/* rule_value.c: see rule_value.h. */
#include "schema/rule_value.h"

#include <math.h>

enum value_class value_class(const struct schema_field *about)
{
	static const uint8_t classes[] = {
		[FIELD_DOUBLE] = VALUE_FLOATING, [FIELD_FLOAT] = VALUE_FLOATING,
		[FIELD_INT64] = VALUE_SIGNED, [FIELD_INT32] = VALUE_SIGNED,
		[FIELD_SINT64] = VALUE_SIGNED, [FIELD_SINT32] = VALUE_SIGNED,
		[FIELD_SFIXED64] = VALUE_SIGNED, [FIELD_SFIXED32] = VALUE_SIGNED,
		[FIELD_UINT64] = VALUE_UNSIGNED, [FIELD_UINT32] = VALUE_UNSIGNED,
		[FIELD_FIXED64] = VALUE_UNSIGNED, [FIELD_FIXED32] = VALUE_UNSIGNED,
		[FIELD_BOOL] = VALUE_BOOL, [FIELD_ENUM] = VALUE_ENUM,
		[FIELD_STRING] = VALUE_TEXT, [FIELD_BYTES] = VALUE_TEXT,
	};

	if (about->message == NULL)
		return (enum value_class)classes[about->type];
	switch (about->message->well_known) {
	case WK_DURATION:
	case WK_TIMESTAMP:
		return VALUE_TIME;
	case WK_ANY:
		return VALUE_ANY;
	case WK_FIELD_MASK:
		return VALUE_MASK;
	default:
		return VALUE_MESSAGE;
	}
}

static double float_of(uint64_t v)
{
	uint32_t bits = (uint32_t)v;
	float f;

	memcpy(&f, &bits, sizeof f);
	return f;
}

static int64_t unzigzag(uint64_t v)
{
	return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

static bool read_time(struct bytes raw, union rule_value *out)
{
	struct pbuf_reader r = pbuf_reader(raw.data, raw.len);
	struct pbuf_field f;

	while (pbuf_next(&r, &f)) {
		if (f.number == 1 && f.wire == PBUF_VARINT)
			out->time.s = (int64_t)f.value;
		else if (f.number == 2 && f.wire == PBUF_VARINT)
			out->time.ns = (int32_t)f.value;
	}
	return !r.bad;
}

bool value_read(const struct schema_field *about, const struct pbuf_field *v, union rule_value *out)
{
	switch (about->type) {
	case FIELD_DOUBLE:
		out->d = pbuf_double(v->value);
		break;
	case FIELD_FLOAT:
		out->d = float_of(v->value);
		break;
	case FIELD_INT64:
	case FIELD_SFIXED64:
		out->i = (int64_t)v->value;
		break;
	case FIELD_INT32:
	case FIELD_SFIXED32:
	case FIELD_ENUM:
		out->i = (int32_t)v->value;
		break;
	case FIELD_SINT64:
		out->i = unzigzag(v->value);
		break;
	case FIELD_SINT32:
		out->i = (int32_t)unzigzag((uint32_t)v->value);
		break;
	case FIELD_UINT64:
	case FIELD_FIXED64:
		out->u = v->value;
		break;
	case FIELD_UINT32:
	case FIELD_FIXED32:
		out->u = (uint32_t)v->value;
		break;
	case FIELD_BOOL:
		out->i = v->value != 0;
		break;
	case FIELD_STRING:
	case FIELD_BYTES:
		out->text = v->bytes;
		break;
	case FIELD_MESSAGE:
	case FIELD_GROUP:
		if (value_class(about) == VALUE_TIME)
			return read_time(v->bytes, out);
		out->text = v->bytes;
		break;
	}
	return true;
}

#define ORDER(a, b) ((a) < (b) ? -1 : (a) > (b))

int value_compare(enum value_class c, const union rule_value *a, const union rule_value *b)
{
	switch (c) {
	case VALUE_SIGNED:
	case VALUE_BOOL:
	case VALUE_ENUM:
		return ORDER(a->i, b->i);
	case VALUE_UNSIGNED:
		return ORDER(a->u, b->u);
	case VALUE_FLOATING:
		return isnan(a->d) || isnan(b->d) ? 2 : ORDER(a->d, b->d);
	case VALUE_TIME:
		return a->time.s != b->time.s ? ORDER(a->time.s, b->time.s) : ORDER(a->time.ns, b->time.ns);
	default:
		return bytes_equal(a->text, b->text) ? 0 : 2;
	}
}

bool value_equal(enum value_class c, const union rule_value *a, const union rule_value *b)
{
	return value_compare(c, a, b) == 0;
}

bool value_is_zero(enum value_class c, const union rule_value *v)
{
	switch (c) {
	case VALUE_UNSIGNED:
		return v->u == 0;
	case VALUE_FLOATING:
		return v->d == 0 && !signbit(v->d); /* -0 is on the wire, so it is set */
	case VALUE_TIME:
		return v->time.s == 0 && v->time.ns == 0;
	case VALUE_SIGNED:
	case VALUE_BOOL:
	case VALUE_ENUM:
		return v->i == 0;
	default:
		return v->text.len == 0;
	}
}
