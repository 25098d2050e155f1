/* store_reserve.h: disk space kept back for the moment when there is none: a file
 * beside the database, allocated for real. When the disk is full it is given up, so that
 * what runs can still be recorded while new work is refused; taken again when there is
 * room. It stays when the service stops: the next start may need it. Store thread. */
#ifndef SERVICE_STORE_RESERVE_H
#define SERVICE_STORE_RESERVE_H

#include <stdbool.h>
#include <stdint.h>

struct store_reserve {
	char *path;    /* owned; NULL = no reserve */
	int64_t bytes; /* wanted */
	bool held;
};

/* path of the database. Of no bytes: a file of before is removed. */
void store_reserve_init(struct store_reserve *r, const char *path, int64_t bytes);
void store_reserve_deinit(struct store_reserve *r);
/* True: it is held, or none is wanted. To be taken anew there must be twice the room:
 * else the next few writes would have it given up again. */
bool store_reserve_take(struct store_reserve *r);
/* Gives it up; false: there was nothing to give. */
bool store_reserve_spend(struct store_reserve *r);

#endif
