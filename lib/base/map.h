/* map.h: a hash table from a byte key to a pointer, seeded so that keys a peer
 * chooses cannot be made to collide. Keys are copied; values are borrowed.
 * Daemon code: allocation failure ends the process. Not thread-safe. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

struct map {
	struct map_slot *slots; /* owned, open addressing, power of two */
	size_t n_slots, n_used; /* used counts live entries only */
	size_t n_filled;        /* live entries and tombstones */
};

#define MAP_INIT ((struct map){0})

void map_deinit(struct map *m);

/* The value put there before, or NULL. value must not be NULL. */
void *map_put(struct map *m, const void *key, size_t len, void *value);
void *map_get(const struct map *m, const void *key, size_t len);
/* Takes the key out; gives its value back, or NULL. */
void *map_remove(struct map *m, const void *key, size_t len);

void *map_put_str(struct map *m, const char *key, void *value);
void *map_get_str(const struct map *m, const char *key);
void *map_remove_str(struct map *m, const char *key);

/* Walks in no order; start with *posp = 0; NULL at the end. No change but
 * map_remove of the current key is allowed meanwhile. */
void *map_next(const struct map *m, size_t *posp);

/* The seeded hash (SipHash-1-3) for tables of one's own. */
uint64_t map_hash(const void *key, size_t len);
/* The same with a key of one's own: for values that outlive the process. */
uint64_t map_hash_keyed(const uint64_t with[2], const void *key, size_t len);

#endif
