/* reader.c: JSON's grammar (RFC 8259) without meaning: strings, literals, values
 * to skip; and faults with their place. */
#include "schema/reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json_scan.h"
#include "schema/number.h"

struct kept_key {
	struct kept_key *next;
	uint8_t data[];
};

enum { OUTPUT_MAX = 64 << 20 };

void reader_init(struct reader *r, const struct transcode_read *o, const char *json, size_t len,
		 const char *prefix, struct buf *out, struct fault_list *faults)
{
	*r = (struct reader){
		.p = (const uint8_t *)json,
		.end = (const uint8_t *)json + len,
		.start = (const uint8_t *)json,
		.o = o,
		.out = out,
		.out_limit = out->len + (o && o->max_output ? o->max_output : OUTPUT_MAX),
		.faults = faults,
		.fault_place = FAULT_POINTER,
		.prefix = prefix,
	};
}

void reader_deinit(struct reader *r)
{
	for (struct kept_key *k = r->kept, *next; k != NULL; k = next) {
		next = k->next;
		free(k);
	}
	buf_deinit(&r->scratch);
}

/* --- faults --- */

static void put_place(struct buf *b, const struct place *at)
{
	if (at == NULL)
		return;
	put_place(b, at->up);
	buf_append_byte(b, '/');
	if (at->name != NULL)
		fault_put_token(b, at->name, at->len);
	else
		buf_printf(b, "%zu", at->index);
}

static void add_fault(struct reader *r, enum fault_kind kind, const char *rule,
		      const uint8_t *value, size_t len, const char *detail)
{
	AUTO_BUF where = BUF_INIT;

	buf_append_str(&where, r->prefix);
	if (r->fault_place == FAULT_POINTER)
		put_place(&where, r->at);
	fault_add(r->faults, kind, r->fault_place, buf_cstr(&where), rule, (const char *)value, len,
		  "%s", detail);
}

int reader_syntax(struct reader *r, const char *rule, const char *fmt, ...)
{
	const uint8_t *line = r->start;
	size_t n_lines = 1, n;
	char detail[400];
	va_list ap;

	va_start(ap, fmt);
	n = (size_t)vsnprintf(detail, 300, fmt, ap);
	va_end(ap);
	n = MIN(n, 299);
	for (const uint8_t *p = r->start; p < r->p; p++)
		if (*p == '\n') {
			n_lines++;
			line = p + 1;
		}
	snprintf(detail + n, sizeof detail - n, " (line %zu, column %zu)", n_lines,
		 (size_t)(r->p - line) + 1);
	add_fault(r, FAULT_SYNTAX, rule, NULL, 0, detail);
	return READ_STOP;
}

int reader_fault(struct reader *r, const char *rule, const uint8_t *value, size_t len,
		 const char *fmt, ...)
{
	char detail[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(detail, sizeof detail, fmt, ap);
	va_end(ap);
	add_fault(r, FAULT_SCHEMA, rule, value, len, detail);
	return READ_SKIP;
}

static const char *kind_of(uint8_t c)
{
	switch (c) {
	case '{': return "an object";
	case '[': return "an array";
	case '"': return "a string";
	case 't': case 'f': return "a boolean";
	case 'n': return "null";
	default: return "a number";
	}
}

int reader_mismatch(struct reader *r, const char *expected)
{
	const uint8_t *start = r->p;
	uint8_t c = reader_peek(r);

	if (reader_skip(r) < 0)
		return READ_STOP;
	return reader_fault(r, "type", start, (size_t)(r->p - start), "expected %s, not %s", expected,
			    kind_of(c));
}

/* --- strings --- */

static int hex4(struct reader *r, uint32_t *out)
{
	uint32_t v = 0;

	if (r->end - r->p < 4)
		return reader_syntax(r, "syntax", "\\u needs four hex digits");
	for (int i = 0; i < 4; i++) {
		uint8_t c = r->p[i], low = c | 0x20;

		if (c >= '0' && c <= '9')
			v = v << 4 | (uint32_t)(c - '0');
		else if (low >= 'a' && low <= 'f')
			v = v << 4 | (uint32_t)(low - 'a' + 10);
		else
			return reader_syntax(r, "syntax", "\\u needs four hex digits");
	}
	r->p += 4;
	*out = v;
	return READ_OK;
}

static void put_utf8(struct buf *b, uint32_t c)
{
	if (c < 0x80) {
		buf_append_byte(b, (uint8_t)c);
	} else if (c < 0x800) {
		buf_append_byte(b, (uint8_t)(0xc0 | c >> 6));
		buf_append_byte(b, (uint8_t)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		buf_append_byte(b, (uint8_t)(0xe0 | c >> 12));
		buf_append_byte(b, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
		buf_append_byte(b, (uint8_t)(0x80 | (c & 0x3f)));
	} else {
		buf_append_byte(b, (uint8_t)(0xf0 | c >> 18));
		buf_append_byte(b, (uint8_t)(0x80 | (c >> 12 & 0x3f)));
		buf_append_byte(b, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
		buf_append_byte(b, (uint8_t)(0x80 | (c & 0x3f)));
	}
}

/* After \u: one character, of one escape or of a pair. */
static int read_unicode(struct reader *r)
{
	uint32_t c, low;

	if (hex4(r, &c) < 0)
		return READ_STOP;
	if (c >= 0xd800 && c < 0xe000) {
		if (c >= 0xdc00 || r->end - r->p < 6 || r->p[0] != '\\' || r->p[1] != 'u')
			return reader_syntax(r, "utf8", "half of a surrogate pair");
		r->p += 2;
		if (hex4(r, &low) < 0)
			return READ_STOP;
		if (low < 0xdc00 || low > 0xdfff)
			return reader_syntax(r, "utf8", "half of a surrogate pair");
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
	}
	if (c == 0)
		r->nul = true;
	put_utf8(&r->scratch, c);
	return READ_OK;
}

/* At a backslash. */
static int read_escape(struct reader *r)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *at;

	if (r->end - r->p < 2)
		return reader_syntax(r, "syntax", "the text ends within a string");
	if (r->p[1] == 'u') {
		r->p += 2;
		return read_unicode(r);
	}
	at = r->p[1] ? strchr(from, r->p[1]) : NULL;
	if (at == NULL)
		return reader_syntax(r, "syntax", "an escape that JSON does not know");
	buf_append_byte(&r->scratch, (uint8_t)to[at - from]);
	r->p += 2;
	return READ_OK;
}

/* To the first byte that is neither plain nor part of a valid sequence. */
static int skip_text(struct reader *r)
{
	for (;;) {
		size_t n;

		r->p = json_skip_plain(r->p, r->end);
		while (r->p < r->end && *r->p >= 0x80) {
			n = json_utf8_sequence(r->p, r->end);
			if (n == 0)
				return reader_syntax(r, "utf8", "not UTF-8");
			r->p += n;
		}
		if (r->p == r->end)
			return reader_syntax(r, "syntax", "the text ends within a string");
		if (*r->p == '"' || *r->p == '\\')
			return READ_OK;
		if (*r->p < 0x20)
			return reader_syntax(r, "syntax", "a control character in a string: write \\u%04x",
					     *r->p);
	}
}

int reader_string(struct reader *r, struct bytes *out)
{
	const uint8_t *start = ++r->p;

	r->nul = false;
	if (skip_text(r) < 0)
		return READ_STOP;
	if (*r->p == '"') {
		*out = (struct bytes){start, (size_t)(r->p - start)};
		r->p++;
		return READ_OK;
	}
	buf_reset(&r->scratch);
	for (;;) {
		buf_append(&r->scratch, start, (size_t)(r->p - start));
		if (*r->p == '"')
			break;
		if (read_escape(r) < 0)
			return READ_STOP;
		start = r->p;
		if (skip_text(r) < 0)
			return READ_STOP;
	}
	r->p++;
	*out = buf_bytes(&r->scratch);
	return READ_OK;
}

struct bytes reader_keep(struct reader *r, struct bytes b)
{
	struct kept_key *k = xmalloc(sizeof *k + b.len);

	if (b.len > 0)
		memcpy(k->data, b.data, b.len);
	k->next = r->kept;
	r->kept = k;
	return (struct bytes){k->data, b.len};
}

int reader_key(struct reader *r, struct bytes *out)
{
	if (reader_peek(r) != '"')
		return reader_syntax(r, "syntax", "expected a member's name in quotes");
	if (reader_string(r, out) < 0)
		return READ_STOP;
	if (out->data == r->scratch.data)
		*out = reader_keep(r, *out);
	reader_space(r);
	if (reader_peek(r) != ':')
		return reader_syntax(r, "syntax", "expected \":\"");
	r->p++;
	reader_space(r);
	return READ_OK;
}

/* --- values --- */

int reader_literal(struct reader *r, const char *word)
{
	size_t n = strlen(word);

	if ((size_t)(r->end - r->p) < n || memcmp(r->p, word, n) != 0)
		return reader_syntax(r, "syntax", "expected a value");
	r->p += n;
	return READ_OK;
}

static int skip_object(struct reader *r)
{
	struct bytes key;
	int more = 1;

	if (reader_enter(r) < 0)
		return READ_STOP;
	if (reader_peek(r) == '}') {
		r->p++;
		r->depth--;
		return READ_OK;
	}
	while (more > 0) {
		if (reader_peek(r) != '"')
			return reader_syntax(r, "syntax", "expected a member's name in quotes");
		if (reader_string(r, &key) < 0)
			return READ_STOP;
		reader_space(r);
		if (reader_peek(r) != ':')
			return reader_syntax(r, "syntax", "expected \":\"");
		r->p++;
		reader_space(r);
		if (reader_skip(r) < 0)
			return READ_STOP;
		more = reader_more(r, '}');
	}
	return more;
}

static int skip_array(struct reader *r)
{
	int more = 1;

	if (reader_enter(r) < 0)
		return READ_STOP;
	if (reader_peek(r) == ']') {
		r->p++;
		r->depth--;
		return READ_OK;
	}
	while (more > 0) {
		if (reader_skip(r) < 0)
			return READ_STOP;
		more = reader_more(r, ']');
	}
	return more;
}

int reader_skip(struct reader *r)
{
	struct number n;
	struct bytes text;
	const uint8_t *end;

	switch (reader_peek(r)) {
	case '{': return skip_object(r);
	case '[': return skip_array(r);
	case '"': return reader_string(r, &text);
	case 't': return reader_literal(r, "true");
	case 'f': return reader_literal(r, "false");
	case 'n': return reader_literal(r, "null");
	}
	end = number_scan(r->p, r->end, &n);
	if (end == NULL)
		return reader_syntax(r, "syntax", r->p == r->end ? "the text ends where a value was expected"
						 : "expected a value");
	r->p = end;
	return READ_OK;
}
