/* writer.h: what the files that turn wire bytes into JSON share. Private to
 * lib/schema. A writer lives on the stack of one transcode_to_json. Functions
 * return 0, or -ERRAND_DATA_LOSS with the reason in why. */
#ifndef SCHEMA_WRITER_H
#define SCHEMA_WRITER_H

#include "schema/transcode.h"
#include "schema/wire.h"

struct writer {
	const struct transcode_write *o;
	struct buf *out; /* borrowed */
	size_t out_limit; /* out->len may not pass it */
	unsigned depth;  /* of messages */
	unsigned indent; /* of pretty output */
	char *why;
	size_t why_size;
};

int writer_fail(struct writer *w, const char *fmt, ...) PRINTF(2, 3);

/* Before a member or an element: comma, newline, indent. */
void writer_separate(struct writer *w, bool first);
/* The closing bracket, on a line of its own unless nothing came before it. */
void writer_close(struct writer *w, char bracket, bool empty);
static inline void writer_open(struct writer *w, char bracket)
{
	buf_append_byte(w->out, (uint8_t)bracket);
	w->indent++;
}

/* One message's JSON value. */
int message_write(struct writer *w, const struct schema_message *m, struct bytes wire);
/* The members only; *first says whether a comma is needed before. */
int members_write(struct writer *w, const struct schema_message *m, struct bytes wire, bool *first);
/* A singular field's value from its record. */
int value_write(struct writer *w, const struct schema_field *f, const struct pbuf_field *v);
/* What an absent field without presence shows. */
void zero_write(struct writer *w, const struct schema_field *f);
/* All records of repeated field f in `run` (others are skipped) as [...]. */
int list_write(struct writer *w, const struct schema_field *f, struct bytes run);

/* wellknown_write.c */
int wellknown_write(struct writer *w, const struct schema_message *m, struct bytes wire);
int any_write(struct writer *w, const struct schema_message *m, struct bytes wire, bool bare);

/* bare.c: is it the type of an errand.v1.Json? Then its text is the JSON. */
bool bare_is_json(struct bytes url);
int bare_write(struct writer *w, struct bytes json);

/* map_write.c: all records of map f in `run` as {...}; the last of a key counts. */
int map_write(struct writer *w, const struct schema_field *f, struct bytes run);

#endif
