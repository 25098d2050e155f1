/* task_live.h: the events of all tasks as one stream, live: a ring of the newest ones
 * in memory, which watchers follow at their own speed. An event's id is "BOOT-N": this
 * start of the service and a number that grows; who comes back with one gets
 * what the ring has after it, each once and in order. What the ring no longer has is
 * told by a reset: from there on everything comes, what was before must be read anew.
 *
 * The ring is kept while somebody watches and a while longer, for those who come back;
 * otherwise it costs one look at a flag per move. Loop thread, but for the flag. */
#ifndef SERVICE_TASK_LIVE_H
#define SERVICE_TASK_LIVE_H

#include <stdatomic.h>

#include "service/task_filter.h"
#include "service/task_move.h"

#define TASK_LIVE_EVENTS 8192       /* in the ring at most */
#define TASK_LIVE_BYTES (16u << 20) /* of them */
#define TASK_LIVE_ID_SIZE 40

/* Is the ring kept? Then moves note the row as they leave it (task_change.row), which
 * filters are asked about. Any thread. */
extern atomic_bool task_live_on;

/* Store thread: a copy of what filters ask of the row, and what its labels are. */
int task_live_row(const struct store_ops *ops, struct store *s, const struct task_row *row,
		  struct task_row **out);
struct task_row *task_live_row_free(struct task_row *row); /* NULL-safe; NULL */

/* What was committed; called by task_publish. Takes the change's row. */
void task_live_publish(struct task_change *change);

struct task_live;
struct task_live_ops {
	/* wire: a serialized errand.v1.Event without its id. false: nothing more until
	 * task_live_more. Both may let go of the watch. */
	bool (*event)(const char *id, struct bytes wire, void *arg);
	bool (*reset)(const char *id, void *arg);
	void (*ended)(void *arg); /* the service is stopping; the watch is freed after it */
};
/* after: an id, or NULL for what comes from now on. Takes the filter (NULL: all). */
struct task_live *task_live_watch(const char *after, struct task_filter *filter,
				  const struct task_live_ops *ops, void *arg);
void task_live_more(struct task_live *w);
void task_live_unwatch(struct task_live *w); /* no ended() */
void task_live_end_all(void);                /* and frees the ring */

#endif
