/* keyset.h: the keys of one JSON object or one map, to find those that come
 * twice. A few are compared one by one; many go into a table with a seeded hash,
 * since a peer chooses them. Keys are borrowed and must outlive the set. */
#ifndef SCHEMA_KEYSET_H
#define SCHEMA_KEYSET_H

#include <stdbool.h>

#include "base/util.h"

enum { KEYSET_FEW = 8 };

struct keyset {
	struct bytes few[KEYSET_FEW];
	struct bytes *keys;  /* few, or owned */
	uint32_t *slots;     /* owned; key index + 1; NULL while there are few */
	size_t n, cap, n_slots;
};

void keyset_init(struct keyset *k);
void keyset_deinit(struct keyset *k);
/* The index the key got, or -1 - index when it is there already. */
int64_t keyset_add(struct keyset *k, struct bytes key);

#define AUTO_KEYSET __attribute__((cleanup(keyset_deinit))) struct keyset

#endif
