/* worker.h: one loop thread of the gateway with its listening sockets, its evhttp
 * and its connection to the service. main() makes them, asks them to stop and
 * joins them; nothing else is called from another thread. */
#ifndef GATEWAY_WORKER_H
#define GATEWAY_WORKER_H

#include "gateway/exchange.h"

struct worker;

/* config is borrowed. NULL when it failed (logged). */
struct worker *worker_new(const struct gateway_config *config, unsigned index);
/* Before worker_start: takes a listening fd; tls (borrowed) or NULL. 0, or -1. */
int worker_listen(struct worker *w, int fd, struct tls *tls);
/* 0, or -errno: the thread could not be made. */
int worker_start(struct worker *w);
/* From any thread: stop accepting, finish what is under way, at most
 * drain_timeout; then the thread ends. The second form does not wait. */
void worker_drain(struct worker *w);
void worker_stop(struct worker *w);
/* From any thread: takes another configuration (borrowed) soon; not again before it has. */
void worker_reload(struct worker *w, const struct gateway_config *config);
bool worker_has_reloaded(const struct worker *w);
/* From any thread: the loop shall show that it turns; has it, since it was last asked? */
void worker_ask_alive(struct worker *w);
bool worker_is_alive(const struct worker *w);
/* Waits for the thread's end. */
void worker_join(struct worker *w);
/* Not while the thread runs. NULL-safe; NULL. */
struct worker *worker_free(struct worker *w);

#endif
