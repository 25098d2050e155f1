#include "base/map.h"

#include <pthread.h>
#include <string.h>
#include <sys/random.h>

#include "base/util.h"

struct map_slot {
	char *key; /* owned; NULL = never used; tombstone below = removed */
	size_t len;
	uint64_t hash;
	void *value;
};

static char tombstone[1];
static uint64_t seed[2];
static pthread_once_t seed_once = PTHREAD_ONCE_INIT;

static void make_seed(void)
{
	if (getrandom(seed, sizeof seed, 0) != (ssize_t)sizeof seed)
		seed[0] = (uint64_t)(uintptr_t)&tombstone; /* ASLR at least */
}

#define ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))
#define SIPROUND(v) do { \
	v[0] += v[1]; v[1] = ROTL(v[1], 13); v[1] ^= v[0]; v[0] = ROTL(v[0], 32); \
	v[2] += v[3]; v[3] = ROTL(v[3], 16); v[3] ^= v[2]; \
	v[0] += v[3]; v[3] = ROTL(v[3], 21); v[3] ^= v[0]; \
	v[2] += v[1]; v[1] = ROTL(v[1], 17); v[1] ^= v[2]; v[2] = ROTL(v[2], 32); \
} while (0)

uint64_t map_hash(const void *key, size_t len)
{
	pthread_once(&seed_once, make_seed);
	return map_hash_keyed(seed, key, len);
}

/* SipHash-1-3 (Aumasson and Bernstein), the variant hash tables use. */
uint64_t map_hash_keyed(const uint64_t with[2], const void *key, size_t len)
{
	const uint8_t *p = key;
	uint64_t v[4], m;
	size_t left = len & 7;

	v[0] = with[0] ^ 0x736f6d6570736575ULL;
	v[1] = with[1] ^ 0x646f72616e646f6dULL;
	v[2] = with[0] ^ 0x6c7967656e657261ULL;
	v[3] = with[1] ^ 0x7465646279746573ULL;
	for (const uint8_t *end = p + (len - left); p != end; p += 8) {
		memcpy(&m, p, 8);
		v[3] ^= m;
		SIPROUND(v);
		v[0] ^= m;
	}
	m = (uint64_t)len << 56;
	for (size_t i = 0; i < left; i++)
		m |= (uint64_t)p[i] << (8 * i);
	v[3] ^= m;
	SIPROUND(v);
	v[0] ^= m;
	v[2] ^= 0xff;
	SIPROUND(v);
	SIPROUND(v);
	SIPROUND(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* The slot that holds the key, or NULL. */
static struct map_slot *find(const struct map *m, const void *key, size_t len,
			     uint64_t hash)
{
	if (m->n_slots == 0)
		return NULL;
	for (size_t i = hash;; i++) {
		struct map_slot *s = &m->slots[i & (m->n_slots - 1)];

		if (s->key == NULL)
			return NULL;
		if (s->key != tombstone && s->hash == hash && s->len == len &&
		    memcmp(s->key, key, len) == 0)
			return s;
	}
}

static struct map_slot *free_slot(struct map *m, uint64_t hash)
{
	for (size_t i = hash;; i++) {
		struct map_slot *s = &m->slots[i & (m->n_slots - 1)];

		if (s->key == NULL)
			return s;
	}
}

/* Also drops tombstones, so a table of short-lived keys does not fill up. */
static void rehash(struct map *m)
{
	struct map old = *m;

	m->n_slots = 8;
	while (m->n_slots < old.n_used * 4)
		m->n_slots *= 2;
	m->slots = xcalloc(m->n_slots, sizeof *m->slots);
	m->n_filled = m->n_used;
	for (size_t i = 0; i < old.n_slots; i++) {
		struct map_slot *s = &old.slots[i];

		if (s->key != NULL && s->key != tombstone)
			*free_slot(m, s->hash) = *s;
	}
	free(old.slots);
}

void map_deinit(struct map *m)
{
	for (size_t i = 0; i < m->n_slots; i++)
		if (m->slots[i].key != tombstone)
			free(m->slots[i].key);
	free(m->slots);
	*m = MAP_INIT;
}

void *map_put(struct map *m, const void *key, size_t len, void *value)
{
	uint64_t hash = map_hash(key, len);
	struct map_slot *s = find(m, key, len, hash);
	void *old;

	if (s != NULL) {
		old = s->value;
		s->value = value;
		return old;
	}
	if (m->n_slots == 0 || (m->n_filled + 1) * 4 > m->n_slots * 3)
		rehash(m);
	s = free_slot(m, hash);
	s->key = xmalloc(len + 1);
	memcpy(s->key, key, len);
	s->len = len;
	s->hash = hash;
	s->value = value;
	m->n_used++;
	m->n_filled++;
	return NULL;
}

void *map_get(const struct map *m, const void *key, size_t len)
{
	struct map_slot *s = m->n_used == 0 ? NULL :
		find(m, key, len, map_hash(key, len));

	return s == NULL ? NULL : s->value;
}

void *map_remove(struct map *m, const void *key, size_t len)
{
	struct map_slot *s = find(m, key, len, map_hash(key, len));

	if (s == NULL)
		return NULL;
	free(s->key);
	s->key = tombstone;
	m->n_used--;
	return s->value;
}

void *map_put_str(struct map *m, const char *key, void *value)
{
	return map_put(m, key, strlen(key), value);
}

void *map_get_str(const struct map *m, const char *key)
{
	return map_get(m, key, strlen(key));
}

void *map_remove_str(struct map *m, const char *key)
{
	return map_remove(m, key, strlen(key));
}

void *map_next(const struct map *m, size_t *posp)
{
	while (*posp < m->n_slots) {
		struct map_slot *s = &m->slots[(*posp)++];

		if (s->key != NULL && s->key != tombstone)
			return s->value;
	}
	return NULL;
}
