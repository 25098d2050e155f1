/* worker_impl.h: what the files of errand.v1.Workers share (service/worker*.c). Loop
 * thread throughout.
 *
 *   worker_set    what the workers of one name have brought: a record, a source of methods
 *   worker        one that is registered; READY while its Lease stream is open
 *   worker_queue  a queue that workers run; a worker_use is a worker's part in it
 *   worker_lease  a piece of work: waits for a worker, is a worker's, or was taken away */
#ifndef SERVICE_WORKER_IMPL_H
#define SERVICE_WORKER_IMPL_H

#include "base/list.h"
#include "base/map.h"
#include "base/uuid.h"
#include "errand/v1/workers.pb-c.h"
#include "service/call.h"
#include "service/deadline.h"
#include "service/worker.h"

#define WORKER_LISTS_MAX 100   /* services, queues of one registration */
#define WORKER_SETS_MAX 1000   /* names */
#define WORKER_MAX 1000        /* connected at a time */
#define WORKER_TASKS_MAX 1000  /* of one worker */
#define WORKER_CALLS_MAX 10000
#define WORKER_WAITING_MAX 1024 /* calls that wait for one to be free, of one name */

/* worker.c has the moves. */
enum worker_state {
	WORKER_REGISTERED, /* its stream is not there yet */
	WORKER_READY,
	WORKER_LEAVING,    /* is given nothing more; goes when it has answered all */
};

struct worker_queue {
	char *name;
	unsigned n_sets;       /* that have it; 0: it is not workers' any more */
	struct list uses;
};

/* n_busy: leases it has, those taken away included; n_taken: these alone. */
struct worker_use {
	struct list node;      /* of the queue */
	struct worker *worker;
	struct worker_queue *queue;
	unsigned n_busy, n_taken;
};

/* Names, each once; owned. */
struct worker_queues {
	char **names;
	size_t n;
	size_t n_services;     /* the first ones: of the services */
};

struct worker_set {
	char *name;
	char *source;          /* "worker NAME": of the registry */
	Errand__V1__RegisterWorkerRequest *given; /* name, services, set, queues; owned */
	struct worker_queues queues; /* of all of that name */
	unsigned version;      /* which content this is */
	bool stored;           /* as it is now */
	struct list workers;
	struct list waiting;   /* worker_lease */
	size_t n_waiting;
};

struct worker {
	struct list node;      /* of the set */
	struct worker_set *set;
	unsigned version;      /* of the set, when it registered */
	enum worker_state state;
	char id[UUID_TEXT_SIZE];
	unsigned tasks, calls; /* at a time; tasks: of each queue */
	struct worker_use *uses; /* n_uses; owned */
	size_t n_uses;
	unsigned n_calls;      /* leases that are calls, those taken away included */
	struct list leases;
	unsigned n_live;       /* of them, not taken away */
	struct errand_call *stream; /* NULL: not there yet */
	bool blocked;          /* its client does not read */
	struct deadline deadline; /* for the stream; then for a sign of life */
	int64_t lease_ns, seen_ns; /* clock_mono_ns */
	int pid;
	int64_t connect_us, seen_us; /* wall clock */
};

struct worker_lease {
	struct list node;      /* of the worker, or waiting in the set */
	uint64_t number;
	struct worker *worker; /* NULL: waits */
	struct worker_set *set; /* whose calls it waits among */
	struct worker_use *use; /* NULL: a call of a service */
	struct errand_call *call; /* NULL: taken away; the worker is still at it */
	struct bytes input;    /* the call's */
	struct deadline grace; /* after it was told to stop */
};

/* --- worker.c --- */
/* NULL: there are too many. */
struct worker *worker_new(struct worker_set *set, unsigned version,
			  const Errand__V1__RegisterWorkerRequest *in);
struct worker *worker_find(const char *id);
/* A sign of life. */
void worker_seen(struct worker *w);
/* Its stream is there: it is READY. */
void worker_open(struct worker *w, struct errand_call *stream);
/* It is given nothing more; the stream ends when it has answered all. */
void worker_leave(struct worker *w, const char *reason, bool again);
/* What it had is lost. why: for those who wait, and for its stream. */
void worker_lose(struct worker *w, int code, const char *why);
/* What it can take may have changed, or it may have nothing to wait for. May free it. */
void worker_changed(struct worker *w);
/* True: more may be sent. */
bool worker_send(struct worker *w, const Errand__V1__Order *order);
static inline bool worker_takes(const struct worker *w)
{
	return w->state == WORKER_READY && !w->blocked;
}
extern bool worker_draining;

/* --- worker_api.c; handlers elsewhere --- */
/* Who asks; NULL: nobody we know, and the call is answered. */
struct worker *worker_of(struct errand_call *call, const char *id);
/* False. */
bool worker_fault(struct errand_call *call, const char *pointer, const char *rule, const char *why);
void worker_done_empty(Google__Protobuf__Empty_Closure done, void *call);
#define WORKER_HANDLER(name, request, closure) \
	void name(Errand__V1__Workers_Service *service, const Errand__V1__##request *in, closure done, \
		  void *call)
WORKER_HANDLER(worker_answer_progress, WorkerProgressRequest, Google__Protobuf__Empty_Closure);
WORKER_HANDLER(worker_answer_log, WorkerLogRequest, Google__Protobuf__Empty_Closure);
WORKER_HANDLER(worker_answer_complete, CompleteRequest, Google__Protobuf__Empty_Closure);
WORKER_HANDLER(worker_answer_fail, FailRequest, Google__Protobuf__Empty_Closure);
WORKER_HANDLER(worker_list_all, ListWorkersRequest, Errand__V1__ListWorkersReply_Closure);
WORKER_HANDLER(worker_list_forget, ForgetWorkerRequest, Google__Protobuf__Empty_Closure);

/* --- worker_queue.c --- */
struct worker_queue *worker_queue_get(const char *name);
/* One set more has it, or one less. */
void worker_queue_hold(const char *name);
void worker_queue_drop(const char *name);
/* The slots of the queue are what its workers can take now. */
void worker_queue_update(struct worker_queue *q);
/* Who has the most room; NULL: nobody has any. */
struct worker_use *worker_queue_pick(struct worker_queue *q);
void worker_queue_deinit(void);

/* --- worker_lease.c --- */
struct worker_lease *worker_lease_new(struct errand_call *call, struct bytes input, struct worker_set *set);
/* Gives it to him. use NULL: a call. */
void worker_lease_give(struct worker_lease *l, struct worker *w, struct worker_use *use);
/* Of this worker, whether or not it was taken away; NULL. */
struct worker_lease *worker_lease_find(const struct worker *w, uint64_t number);
/* Its call has been answered, or it was taken away and the worker has ended it. Frees it;
 * worker_changed is owed. */
void worker_lease_end(struct worker_lease *l);
/* The worker is lost. */
void worker_lease_lose(struct worker_lease *l, const char *why);
void worker_lease_stop(struct worker_lease *l, int code, int64_t grace_ns);
void worker_lease_deinit(void);

/* --- worker_run.c --- */
extern const struct runner worker_task_runner; /* arg: the worker_queue */
extern const struct runner worker_call_runner; /* arg: the worker_set */
/* Calls that wait go to whoever has become free. */
void worker_run_waiting(struct worker_set *set);
/* Nobody will: they are answered. */
void worker_run_refuse(struct worker_set *set, const char *why);

/* --- worker_set.c --- */
struct worker_set *worker_set_find(const char *name);
struct worker_set *worker_set_next(size_t *posp); /* in no order */
/* What was registered, checked; 0, or a negative errand_code with the reason in why. */
int worker_set_put(const Errand__V1__RegisterWorkerRequest *in, struct worker_set **out, char *why,
		   size_t why_size);
/* done(0 or what the store said) once it is stored. */
void worker_set_store(struct worker_set *set, void (*done)(int code, void *arg), void *arg);
/* A queue of nobody else's in which tasks wait; NULL. */
const char *worker_set_busy(const struct worker_set *set);
/* The record is gone: so are methods and queues. */
void worker_set_forget(const char *name, void (*done)(int code, void *arg), void *arg);
void worker_set_deinit(void);

#endif
