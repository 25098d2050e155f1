/* trace.c: see trace.h. */
#include "base/trace.h"

#include <string.h>

#include "base/digits.h"

enum { TRACE_AT = 3, SPAN_AT = 36, FLAGS_AT = 53, LENGTH = 55 };
enum { SAMPLED = 1, RANDOM = 2 };

static bool is_zero(const uint8_t *id, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (id[i] != 0)
			return false;
	return true;
}

bool trace_read(const char *text, size_t len, struct trace *out)
{
	uint8_t version;

	if (len < LENGTH || text[TRACE_AT - 1] != '-' || text[SPAN_AT - 1] != '-' || text[FLAGS_AT - 1] != '-')
		return false;
	if (!hex_read(text, &version, 1) || !hex_read(text + TRACE_AT, out->id, sizeof out->id) ||
	    !hex_read(text + SPAN_AT, out->span, sizeof out->span) || !hex_read(text + FLAGS_AT, &out->flags, 1))
		return false;
	if (version == 0xff || is_zero(out->id, sizeof out->id) || is_zero(out->span, sizeof out->span))
		return false;
	return len == LENGTH || (text[LENGTH] == '-' && version != 0);
}

void trace_write(const struct trace *t, char out[TRACE_SIZE])
{
	memcpy(out, "00-", TRACE_AT);
	*hex_put(out + TRACE_AT, t->id, sizeof t->id) = '-';
	*hex_put(out + SPAN_AT, t->span, sizeof t->span) = '-';
	*hex_put(out + FLAGS_AT, &t->flags, 1) = '\0';
}

bool trace_is_good(const char *text)
{
	struct trace t;

	return text != NULL && trace_read(text, strlen(text), &t);
}

const char *trace_id_of(const char *text, char out[TRACE_ID_SIZE])
{
	struct trace t;

	out[0] = '\0';
	if (text != NULL && trace_read(text, strlen(text), &t))
		*hex_put(out, t.id, sizeof t.id) = '\0';
	return out;
}

/* Never zero, which is no id. */
static void put_number(uint8_t out[8], uint64_t v)
{
	v = v != 0 ? v : 1;
	for (int i = 7; i >= 0; i--, v >>= 8)
		out[i] = (uint8_t)v;
}

struct trace trace_child(const struct trace *parent, uint64_t span)
{
	struct trace t = *parent;

	put_number(t.span, span);
	t.flags &= SAMPLED | RANDOM;
	return t;
}

struct trace trace_new(uint64_t high, uint64_t low, uint64_t span)
{
	struct trace t = {.flags = SAMPLED | RANDOM};

	put_number(t.id, high);
	put_number(t.id + 8, low);
	put_number(t.span, span);
	return t;
}
