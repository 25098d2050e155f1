/* keyset.c: see keyset.h. */
#include "schema/keyset.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"

void keyset_init(struct keyset *k)
{
	k->keys = k->few;
	k->slots = NULL;
	k->n = k->n_slots = 0;
	k->cap = KEYSET_FEW;
}

void keyset_deinit(struct keyset *k)
{
	if (k->keys != k->few)
		free(k->keys);
	free(k->slots);
}

static bool equal(struct bytes a, struct bytes b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* The slot that holds the key, or the free one where it belongs. */
static uint32_t *find(const struct keyset *k, struct bytes key)
{
	for (size_t i = map_hash(key.data, key.len);; i++) {
		uint32_t *slot = &k->slots[i & (k->n_slots - 1)];

		if (*slot == 0 || equal(k->keys[*slot - 1], key))
			return slot;
	}
}

static void rehash(struct keyset *k)
{
	free(k->slots);
	k->n_slots = k->cap * 2;
	k->slots = xcalloc(k->n_slots, sizeof *k->slots);
	for (size_t i = 0; i < k->n; i++)
		*find(k, k->keys[i]) = (uint32_t)(i + 1);
}

static void grow(struct keyset *k)
{
	struct bytes *old = k->keys == k->few ? NULL : k->keys;

	k->cap *= 2;
	k->keys = xrealloc(old, k->cap * sizeof *k->keys);
	if (old == NULL)
		memcpy(k->keys, k->few, sizeof k->few);
	rehash(k);
}

int64_t keyset_add(struct keyset *k, struct bytes key)
{
	uint32_t *slot = NULL;

	if (k->slots == NULL) {
		for (size_t i = 0; i < k->n; i++)
			if (equal(k->keys[i], key))
				return -1 - (int64_t)i;
	}
	if (k->n == k->cap)
		grow(k);
	if (k->slots != NULL) {
		slot = find(k, key);
		if (*slot != 0)
			return -1 - (int64_t)(*slot - 1);
		*slot = (uint32_t)(k->n + 1);
	}
	k->keys[k->n] = key;
	return (int64_t)k->n++;
}
