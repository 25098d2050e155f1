/* worker.h: errand.v1.Workers: programs in any language that run methods for us, over
 * the socket. Two kinds of work go to them: tasks of the queues they take from, whatever
 * their methods, as the queues' claims come; and SYNC and ASYNC calls of the services
 * they have brought. Each piece of work is a lease: a number that is never used again;
 * whoever answers has to name it. Loop thread. */
#ifndef SERVICE_WORKER_H
#define SERVICE_WORKER_H

#include <stdbool.h>
#include <stddef.h>

#include "errand/service.h"
#include "schema/fault.h"
#include "service/registry.h"
#include "service/store.h"

/* The handlers of errand.v1.Workers, for the registry. */
ProtobufCService *worker_api_service(void);

/* Before there is a store thread, and after registry_finish: what workers have brought
 * before the restart is there again, so their tasks are accepted, and wait. */
int worker_load(const struct store_ops *ops, struct store *s);

/* How many are connected. */
size_t worker_count(void);
/* Pieces of work they have. */
size_t worker_n_leases(void);
/* Is it a method that only workers run? */
bool worker_has_method(const struct method *m);
/* A task of such a method (m may be NULL, queue too) in a queue that is none of workers' is
 * a fault. Any thread. */
void worker_check_queue(const struct method *m, const char *queue, const char *pointer,
			struct fault_list *faults);
/* Is it the stream of a worker? Such a client goes on while we drain. */
bool worker_is_stream(const struct method *m);

/* Nothing more is given to anybody; who has answered all may go. */
void worker_drain_begin(void);
/* What they still have is to be stopped; their streams end next. */
void worker_stop_all(void);
/* After the loop: all are forgotten. */
void worker_deinit(void);

#endif
