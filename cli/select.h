/* select.h: which tasks a command is about: the options that lists, bulk changes and
 * followers of events share, as one AIP-160 filter. */
#ifndef CLI_SELECT_H
#define CLI_SELECT_H

#include "cli/backend.h"

/* A member `select` of the command's struct. */
struct select {
	const char *filter, *state, *queue, *method, *since;
};

#define SELECT_OPTIONS(type) \
	{"filter", 'f', OPT_STRING, offsetof(type, select.filter), NULL, 0, 0, "EXPRESSION", \
	 "those that it takes, such as 'state = FAILED AND labels.customer = x'"}, \
	{"state", 0, OPT_STRING, offsetof(type, select.state), NULL, 0, 0, "STATE,...", \
	 "in one of these states: queued, running, retrying, cancelling, succeeded, failed, cancelled, " \
	 "scheduled, blocked, held, expired"}, \
	{"queue", 'q', OPT_STRING, offsetof(type, select.queue), NULL, 0, 0, "QUEUE", "of this queue"}, \
	{"method", 'm', OPT_STRING, offsetof(type, select.method), NULL, 0, 0, "METHOD", \
	 "of this method: its name, or the end of it while that is unique"}, \
	{"since", 0, OPT_STRING, offsetof(type, select.since), NULL, 0, 0, "TIME", \
	 "made since then: 2h (ago), 2026-01-31 or 2026-01-31T12:00:00Z"}

bool select_any(const struct select *s);
/* Appends the filter; nothing without an option. CLI_OK, or said. */
int select_filter(struct backend *b, const struct select *s, struct buf *out);

/* Nothing was found: says so of a queue or a method that does not exist. */
void select_explain(struct backend *b, const struct select *s);

/* Says what queue was probably meant. */
void select_near_queue(struct backend *b, const char *name);

#endif
