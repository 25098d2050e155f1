/* process_output.h: what a child writes: the reading end of a pipe, cut into lines, or as
 * it comes. Process thread. */
#ifndef SERVICE_PROCESS_OUTPUT_H
#define SERVICE_PROCESS_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

struct event;
struct event_base;

struct output {
	int number;      /* what the child calls it: 1, 2 or 3 */
	int fd;          /* our end; -1 when it has ended */
	bool in_piece;   /* the last thing given was a piece of an over-long line */
	struct event *event;
	struct buf line; /* what came of the line not yet ended */
	/* Set before output_open; with on_bytes there are no lines. on_end: it has just ended; not from
	 * output_close. */
	void (*on_line)(int number, const char *line, size_t len, void *arg);
	void (*on_bytes)(const void *data, size_t len, void *arg);
	void (*on_end)(void *owner);
	void *arg, *owner;
};

/* *child_endp is the caller's to close. 0 or -errno; output_drop is due either way. */
int output_open(struct output *o, struct event_base *base, int *child_endp);
void output_listen(struct output *o);
/* Gives what there is of a last line. */
void output_close(struct output *o);
/* Gives nothing. NULL-safe in its parts. */
void output_drop(struct output *o);

#endif
