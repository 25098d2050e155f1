/* snapshot.h: schema and routes as one immutable, ref-counted whole, and the
 * place where all loop threads find the newest. A request keeps the one it began
 * with. Publishing takes a mutex; looking is one atomic load when nothing is new. */
#ifndef GATEWAY_SNAPSHOT_H
#define GATEWAY_SNAPSHOT_H

#include "schema/route.h"
#include "schema/schema.h"

struct snapshot {
	struct schema *schema;
	struct route_table *routes;
	const struct schema_message *problem; /* errand.v1.Problem, or NULL */
	uint8_t digest[32];
	_Atomic unsigned refs;
	uint64_t generation;
	bool of_file;                         /* not of a service */
	_Atomic(void *) openapi[2];           /* owned; openapi.c's (open, secured), NULL until asked for */
};

/* Builds and publishes. A bad schema is refused with the reason (and logged); the
 * old one goes on serving. Any thread. */
int snapshot_publish(struct bytes digest, struct bytes set, char *why, size_t why_size);
/* The same for a set of a file (--schema). One that a service gave is not replaced: that
 * is an error like a bad set. */
int snapshot_publish_file(struct bytes set, char *why, size_t why_size);
/* How many there were; 0: none yet. Any thread. */
uint64_t snapshot_generation(void);
/* The newest, with a reference; NULL before the first. Any thread. */
struct snapshot *snapshot_get(void);
struct snapshot *snapshot_unref(struct snapshot *s); /* NULL-safe; NULL */
/* Brings *held up to the newest (an atomic load when it is already). */
void snapshot_refresh(struct snapshot **held);
struct snapshot *snapshot_ref(struct snapshot *s);
/* Forgets the newest: at the end of the process. */
void snapshot_deinit(void);
/* How many could not be used. Any thread. */
uint64_t snapshot_n_refused(void);
/* Does this digest name the newest? */
bool snapshot_is_current(struct bytes digest);
/* All threads hear of a new schema: true for the first to ask, who fetches it and publishes. */
bool snapshot_claim(struct bytes digest);
/* That cannot be: who lost the connection. Any thread may say so. */
void snapshot_unclaim(void);

#endif
