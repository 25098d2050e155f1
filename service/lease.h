/* lease.h: who runs tasks. A process is an owner: node, pid and a number of its own
 * that no other has ever had; rows that run carry it. An owner has a lease in the
 * store, by the engine's clock, which a thread of its own renews while tasks run, so a
 * stuck event loop does not lose it. Whose lease is over has lost what it ran: the
 * attempts end LEASE_LOST, and its late writes are fenced by the attempt's number.
 * Who opens a store that only one process can have (a file) waits for no clock: the
 * former owner is dead. */
#ifndef SERVICE_LEASE_H
#define SERVICE_LEASE_H

#include <stdint.h>

#include "service/store.h"

#define LEASE_US (30 * 1000000LL)

/* A new owner. Start-up thread. */
void lease_init(void);
uint64_t lease_owner(void);     /* never 0 */
const char *lease_name(void);   /* "host/pid/number in hex" */
/* The thread that renews, and its end. Loop thread. */
int lease_start(void);
void lease_stop(void);
/* Tasks run, or none do: whether it renews. Loop thread. */
void lease_needed(bool needed);

/* Store thread, in a transaction: what is claimed now is under a lease that is not
 * about to end. 0 or what the store said. */
int lease_hold(const struct store_ops *ops, struct store *s);
/* Owners whose lease is over, not ourselves; at most 16. */
int lease_lost(const struct store_ops *ops, struct store *s, uint64_t *out, size_t *n_out);
int lease_forget(const struct store_ops *ops, struct store *s, uint64_t owner);

#endif
