/* trace.h: W3C Trace Context's traceparent (version 00, with level 2's flags): read
 * strictly, and written for the next hop. Pure. */
#ifndef BASE_TRACE_H
#define BASE_TRACE_H

#include <stdbool.h>
#include <stdint.h>

enum { TRACE_SIZE = 56, TRACE_ID_SIZE = 33 }; /* with the NUL */

/* Two hexadecimal digits of version, 32 of trace id, 16 of span id, 2 of flags, in lower
 * case and parted by '-'; ids that are not all zeros. Version ff is none; one above 00 may
 * have more behind another '-', which is not looked at. False: it is none (NULL too). */
bool trace_is_good(const char *text);
/* The trace id of one that is good; "" of another. */
const char *trace_id_of(const char *traceparent, char out[TRACE_ID_SIZE]);
/* For the next hop: its trace, our span, and of its flags those we know (sampled, random). */
void trace_child(const char *parent, uint64_t span, char out[TRACE_SIZE]);
/* A trace of our own: random, and sampled, since we log it. */
void trace_new(uint64_t high, uint64_t low, uint64_t span, char out[TRACE_SIZE]);

#endif
