/* hook.h: the engine of callbacks (HTTP.md, Callbacks), on the loop thread: takes the
 * deliveries that are due from the store, sends them over a transport
 * (hook_transport.h), and writes down what came of it.
 *
 *   move of a task ─▶ record DELIVERY in its transaction ─▶ COMMIT ─▶ hook_written
 *   due ─▶ breaker and limits of its host ─▶ transport ─▶ answer ─▶ record: delivered,
 *                                                        again later, or dead
 *
 * Nothing of it is written before a delivery is sent, so a service that dies between
 * the answer and the record sends it again, under the same webhook-id: at least once. */
#ifndef SERVICE_HOOK_H
#define SERVICE_HOOK_H

#include "service/hook_address.h"
#include "service/hook_record.h"
#include "service/hook_retry.h"
#include "service/hook_transport.h"

struct hook_config {
	const char *keys;                /* file of secrets; NULL: no callbacks */
	const char *const *allow;        /* hook_rules_add's */
	size_t n_allow;
	const char *ca;                  /* file of certificates, NULL: the system's */
	struct hook_schedule schedule;
	int64_t connect_ns, total_ns;    /* of an attempt */
	int64_t keep_ns;                 /* what is delivered or dead */
	unsigned max_flight, max_host;   /* at once; to one host */
	struct hook_breaker_limits breaker;
	const struct hook_transport *transport; /* NULL: the plugin's, when one is needed */
};

/* Before the task engine: reads rules and secrets. Negative with the reason in why. */
int hook_init(const struct hook_config *config, char *why, size_t why_size);
void hook_start(void);      /* after it, on the loop: looks what is due */
void hook_reload(void);     /* the file of secrets again; what is wrong with it is logged */
void hook_drain_begin(void); /* nothing more is sent; what is under way may end */
size_t hook_in_flight(void);
void hook_stop(void);       /* before the store is closed: ends what is under way */
void hook_deinit(void);

/* What is asked for by errand.v1.Deliveries. code as task_done has it. */
typedef void (*hook_done)(int code, const char *why, const struct hook_delivery *d, void *arg);
void hook_show(const char *id, hook_done done, void *arg);
void hook_redeliver(const char *id, hook_done done, void *arg);

struct hook_list {
	enum hook_state state;    /* 0: all */
	bool of_task;
	struct uuid task;
	bool after_set;
	uint8_t after[HOOK_KEY_SIZE];
	size_t limit;
};
/* next: the key to go on after, NULL on the last page (a page may have few or no rows:
 * what is looked at for it is bounded). */
typedef void (*hook_list_done)(int code, const char *why, const struct hook_delivery *rows, size_t n,
			       const uint8_t *next, void *arg);
void hook_list(const struct hook_list *filter, hook_list_done done, void *arg);

#endif
