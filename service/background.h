/* background.h: work after the response (errand_after): a bounded pool, failures
 * logged with their name and counted, drained at stop. The place of a job is
 * taken when it is made, so that a full pool refuses it while the call can still
 * answer UNAVAILABLE. Any thread. */
#ifndef SERVICE_BACKGROUND_H
#define SERVICE_BACKGROUND_H

#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/log.h"

struct background_job;
struct background_line; /* jobs that run one after another */

void background_init(unsigned n_threads, size_t max_queue);
/* Waits until all is done or the monotonic deadline has passed; what is left. */
size_t background_drain(int64_t deadline_ns);
/* What has not begun is dropped, and logged by name. */
void background_drop(void);
/* Waits for what runs. */
void background_deinit(void);

/* name is copied, arg borrowed until it has run. NULL when there is no place. */
struct background_job *background_new(const char *name, int (*fn)(void *arg), void *arg);
/* Its log lines carry these; copied. */
void background_mark(struct background_job *job, const struct log_ids *ids);
/* The job's link, for its owner to keep it in a list until it starts. */
struct list *background_link(struct background_job *job);
/* Takes the jobs of a list of links, which is empty after it: they run soon, one
 * after another, in this order, and after those that were started with the same
 * owner before. *owner is NULL at first, and again when all have run. */
void background_start(struct list *links, struct background_line **owner);
/* Before *owner goes; what was started runs all the same. */
void background_leave(struct background_line **owner);

size_t background_pending(void); /* made and not yet run */
uint64_t background_done(void), background_failed(void);

#endif
