/* trace.h: W3C Trace Context's traceparent (version 00, with level 2's flags): read
 * strictly, and written for the next hop. Pure. */
#ifndef BASE_TRACE_H
#define BASE_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TRACE_SIZE = 56, TRACE_ID_SIZE = 33 }; /* with the NUL */

/* One without its text: what is kept of it. */
struct trace {
	uint8_t id[16], span[8], flags;
};

/* Two hexadecimal digits of version, 32 of trace id, 16 of span id, 2 of flags, in lower
 * case and parted by '-'; ids that are not all zeros. Version ff is none; one above 00 may
 * have more behind another '-', which is not looked at. False: it is none; out is undefined. */
bool trace_read(const char *text, size_t len, struct trace *out);
/* As text, of version 00. */
void trace_write(const struct trace *t, char out[TRACE_SIZE]);
/* Texts, for who needs no more; NULL is none. The trace id of one that is none is "". */
bool trace_is_good(const char *text);
const char *trace_id_of(const char *text, char out[TRACE_ID_SIZE]);
/* For the next hop: its trace, our span, and of its flags those we know (sampled, random). */
struct trace trace_child(const struct trace *parent, uint64_t span);
/* A trace of our own: random, and sampled, since we log it. */
struct trace trace_new(uint64_t high, uint64_t low, uint64_t span);

#endif
