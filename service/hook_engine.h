/* hook_engine.h: what the files of the engine of callbacks share; one object of the loop
 * thread. Private to service/hook*.c. */
#ifndef SERVICE_HOOK_ENGINE_H
#define SERVICE_HOOK_ENGINE_H

#include "base/list.h"
#include "base/map.h"
#include "service/hook.h"
#include "service/hook_sign.h"
#include "service/store_thread.h"

/* A host with its port: who waits for it, how it behaves. */
struct hook_host {
	char name[HOOK_HOST_SIZE + 8]; /* "example.org:443" */
	unsigned n_flight;
	struct list waiting;           /* flights taken from the store, not begun */
	unsigned n_waiting;
	struct hook_breaker breaker;
	int64_t takes_us;              /* an attempt, on average */
	int64_t slot_us;               /* when the last one that was put off may come again */
};

/* A delivery taken from the store, from then until what came of it is stored. */
struct hook_flight {
	struct list node;              /* host's waiting; or the finished ones */
	struct hook_send send;         /* the transport's between send() and done() */
	struct store_op op;            /* reads its task; later writes the outcome */
	struct hook_delivery d;
	struct hook_url where;
	struct hook_host *host;
	struct buf task, body;
	char *headers[8];              /* owned */
	int64_t begun_us;
	bool begun;                    /* counted in n_flight */
	bool gone;                     /* the endpoint has said so, or the delivery is no more */
	bool lost;
	char why[256];                 /* it could not be sent at all */
};

struct hook_engine {
	struct hook_config config;
	char *keys_file, *ca;          /* owned copies of config's */
	struct hook_rules rules;       /* immutable while it runs; the transport reads them */
	struct hook_keys *keys;        /* NULL: no callbacks */
	const struct hook_transport *transport; /* NULL until it is needed */
	struct map hosts, taken;       /* by name; flights by key */
	unsigned n_taken, n_flight;
	bool started, draining;
};
extern struct hook_engine hooks;

/* hook_host.c */
struct hook_host *hook_host_get(const struct hook_url *where);
void hook_host_pump_all(void);
/* Is there room for one more to wait for it? */
bool hook_host_has_room(const struct hook_host *h);
/* When one that has no room is to come again. */
int64_t hook_host_slot(struct hook_host *h);
void hook_hosts_free(void);

/* hook_flight.c. Takes the delivery; it waits for its host. */
void hook_flight_take(struct hook_delivery *d);
void hook_flight_begin(struct hook_flight *f);
void hook_flight_free(struct hook_flight *f);
void hook_flight_init(void);
void hook_flight_stop(void);

/* hook.c. Looks what is due, and takes all of it that has room. */
void hook_look(void);
/* Something will be due then. */
void hook_look_at(int64_t due_us);
/* Writes that it is due then. Of one that is not taken (any more). */
void hook_put_off(const uint8_t key[HOOK_KEY_SIZE], int64_t due_us);

#endif
