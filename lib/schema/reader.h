/* reader.h: what the files that turn JSON into wire bytes share: a cursor over
 * the text, the place it is at, the faults found. Private to lib/schema. A
 * reader lives on the stack of one transcode_from_json.
 *
 * Results: READ_OK, what was asked for is there; READ_SKIP, the value was
 * consumed but there is nothing to write (a fault is noted, or it was to be
 * ignored); READ_STOP, the text is not JSON from here on. */
#ifndef SCHEMA_READER_H
#define SCHEMA_READER_H

#include "schema/transcode.h"
#include "schema/wire.h"

enum { READ_OK = 0, READ_SKIP = 1, READ_STOP = -1 };

/* Where in the value we are: a chain of frames on the stack, made text only when
 * there is a fault. */
struct place {
	const struct place *up;
	const uint8_t *name; /* a member's key, or NULL: element `index` */
	size_t len, index;
};

struct kept_key; /* a decoded key that had escapes */

struct reader {
	const uint8_t *p, *end, *start;
	const struct transcode_read *o;
	const struct place *at;
	struct buf *out;       /* borrowed */
	size_t out_limit;      /* out->len may not pass it */
	unsigned depth, wire_depth; /* of JSON; of messages, the outermost being 0 */
	bool nul;              /* the last string read has a U+0000 in it */
	struct fault_list *faults;
	enum fault_place fault_place;
	const char *prefix;    /* of pointers; the parameter's name for text */
	struct buf scratch;    /* the last string that had escapes */
	struct kept_key *kept; /* owned list */
};

/* A scalar on its way: bits as the wire has them (zigzag done, floats as their
 * bits); text of strings and bytes, valid until the next string is read. */
struct scalar {
	uint64_t bits;
	struct bytes text;
};

void reader_init(struct reader *r, const struct transcode_read *o, const char *json, size_t len,
		 const char *prefix, struct buf *out, struct fault_list *faults);
void reader_deinit(struct reader *r);

/* Notes a FAULT_SYNTAX with line and column; always READ_STOP. */
int reader_syntax(struct reader *r, const char *rule, const char *fmt, ...) PRINTF(3, 4);
/* Notes a FAULT_SCHEMA at the present place; always READ_SKIP. */
int reader_fault(struct reader *r, const char *rule, const uint8_t *value, size_t len,
		 const char *fmt, ...) PRINTF(5, 6);
/* Skips the value that is next and notes that it is not what was expected. */
int reader_mismatch(struct reader *r, const char *expected);

/* Whole values without a meaning. */
int reader_skip(struct reader *r);
/* "..." with escapes undone; *out points into the text or r->scratch. */
int reader_string(struct reader *r, struct bytes *out);
/* The same for a member's key, and the colon after it; *out lives as long as r. */
int reader_key(struct reader *r, struct bytes *out);
int reader_literal(struct reader *r, const char *word);
/* A copy that lives as long as r. */
struct bytes reader_keep(struct reader *r, struct bytes b);

static inline void reader_space(struct reader *r)
{
	while (r->p < r->end && *r->p <= ' ' &&
	       (*r->p == ' ' || *r->p == '\n' || *r->p == '\r' || *r->p == '\t'))
		r->p++;
}

/* The byte that begins the next value; 0 at the end. */
static inline uint8_t reader_peek(const struct reader *r)
{
	return r->p < r->end ? *r->p : 0;
}

/* Into '{' or '[' (which is there), out of it. */
static inline int reader_enter(struct reader *r)
{
	if (r->depth == TRANSCODE_JSON_DEPTH)
		return reader_syntax(r, "depth", "nested over %d deep", TRANSCODE_JSON_DEPTH);
	r->depth++;
	r->p++;
	reader_space(r);
	return READ_OK;
}

/* After a member or element: 1 when another follows, 0 when `close` was eaten. */
static inline int reader_more(struct reader *r, uint8_t close)
{
	reader_space(r);
	if (r->p < r->end && *r->p == ',') {
		r->p++;
		reader_space(r);
		if (reader_peek(r) == close)
			return reader_syntax(r, "syntax", "a comma with nothing after it");
		return 1;
	}
	if (r->p < r->end && *r->p == close) {
		r->p++;
		r->depth--;
		return 0;
	}
	return reader_syntax(r, "syntax", "expected \",\" or \"%c\"", close);
}

static inline void reader_tag(struct reader *r, const struct schema_field *f)
{
	wire_put_tag(r->out, f);
}

/* --- scalar_read.c --- */

/* The next JSON value as a scalar of f's type. */
int scalar_read(struct reader *r, const struct schema_field *f, struct scalar *v);
/* Plain text (map keys, parameters): bool, numbers, strings, enums. */
int scalar_from_text(struct reader *r, const struct schema_field *f, struct bytes text,
		     struct scalar *v);
/* Without its tag. */
void scalar_put(struct buf *out, const struct schema_field *f, const struct scalar *v);

static inline bool scalar_is_zero(const struct scalar *v)
{
	return v->bits == 0 && v->text.len == 0;
}

/* --- transcode_read.c --- */

/* The content of one message, without tag and length. */
int message_read(struct reader *r, const struct schema_message *m);
/* One field that is a message: tag, length, content. */
int message_value_read(struct reader *r, const struct schema_field *f);
/* The members of an object as m's fields; in_any: "@type" is not one of them. */
int fields_read(struct reader *r, const struct schema_message *m, bool in_any);
/* A field's value with its tags; null is absent. */
int field_read(struct reader *r, const struct schema_field *f);

/* --- wellknown_read.c --- */

int wellknown_read(struct reader *r, const struct schema_message *m);
/* The value of a bare Any: an errand.v1.Json of the text as it stands (bare.c). */
int bare_read(struct reader *r, const struct schema_message *any);
/* The forms that are one string, from that string. */
int wellknown_from_text(struct reader *r, const struct schema_message *m, struct bytes text);

static inline bool takes_null(const struct schema_field *f)
{
	return f->bare || (f->message != NULL && f->message->well_known == WK_VALUE) ||
	       (f->enumeration != NULL && f->enumeration->is_null_value);
}

#endif
