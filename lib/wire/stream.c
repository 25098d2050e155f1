#include "wire/stream.h"

#include <stdlib.h>

#include "base/map.h"

/* A stream on the free list must be as out of bounds to ASan as a freed one. */
#ifdef __has_feature
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)0)
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)0)
#endif

enum {
	SLOTS_MIN = 16,
	IDLE_MAX = 1024, /* streams kept for reuse */
};

void stream_table_init(struct stream_table *t)
{
	*t = (struct stream_table){0};
	t->factor = map_hash("stream", 6) | 1;
	list_init(&t->live);
}

static struct conn_stream *stream_free(struct conn_stream *s)
{
	buf_deinit(&s->wait);
	free(s);
	return NULL;
}

static struct conn_stream *take_idle(struct stream_table *t)
{
	struct conn_stream *s = t->idle;

	if (s == NULL)
		return NULL;
	ASAN_UNPOISON_MEMORY_REGION(s, sizeof *s);
	t->idle = s->user;
	t->n_idle--;
	return s;
}

void stream_table_deinit(struct stream_table *t)
{
	for (size_t i = 0; i < t->n_slots; i++)
		if (t->slots[i] != NULL)
			stream_free(t->slots[i]);
	while (t->idle != NULL)
		stream_free(take_idle(t));
	free(t->slots);
	*t = (struct stream_table){0};
}

/* Multiply-shift (Dietzfelbinger) by a secret odd factor. */
static size_t home(const struct stream_table *t, uint32_t id)
{
	return (size_t)((id * t->factor) >> t->shift);
}

struct conn_stream *stream_get(const struct stream_table *t, uint32_t id)
{
	if (t->n_used == 0)
		return NULL;
	for (size_t i = home(t, id);; i = (i + 1) & (t->n_slots - 1)) {
		struct conn_stream *s = t->slots[i];

		if (s == NULL || s->id == id)
			return s;
	}
}

static void place(struct stream_table *t, struct conn_stream *s)
{
	size_t i = home(t, s->id);

	while (t->slots[i] != NULL)
		i = (i + 1) & (t->n_slots - 1);
	t->slots[i] = s;
}

static int grow(struct stream_table *t)
{
	struct conn_stream **old = t->slots;
	size_t n_old = t->n_slots, n = n_old ? n_old * 2 : SLOTS_MIN;
	struct conn_stream **slots = calloc(n, sizeof *slots);

	if (slots == NULL)
		return -1;
	t->slots = slots;
	t->n_slots = n;
	t->shift = 64 - (unsigned)__builtin_ctzll(n);
	for (size_t i = 0; i < n_old; i++)
		if (old[i] != NULL)
			place(t, old[i]);
	free(old);
	return 0;
}

struct conn_stream *stream_add(struct stream_table *t, uint32_t id)
{
	struct conn_stream *s;

	if (t->n_used * 2 >= t->n_slots && grow(t) < 0)
		return NULL;
	s = take_idle(t);
	if (s == NULL)
		s = malloc(sizeof *s);
	if (s == NULL)
		return NULL;
	*s = (struct conn_stream){.id = id};
	list_push_back(&t->live, &s->node);
	place(t, s);
	t->n_used++;
	t->n_live++;
	return s;
}

void stream_retire(struct stream_table *t, struct conn_stream *s)
{
	if (list_empty(&s->node))
		return;
	list_remove(&s->node);
	t->n_live--;
}

static size_t slot_of(const struct stream_table *t, const struct conn_stream *s)
{
	size_t i = home(t, s->id);

	while (t->slots[i] != s)
		i = (i + 1) & (t->n_slots - 1);
	return i;
}

/* Linear probing without tombstones: later entries of the run move up into the
 * hole unless that would put them before their home. */
void stream_remove(struct stream_table *t, struct conn_stream *s)
{
	size_t mask = t->n_slots - 1, hole = slot_of(t, s);

	stream_retire(t, s);
	for (size_t i = (hole + 1) & mask; t->slots[i] != NULL; i = (i + 1) & mask) {
		size_t h = home(t, t->slots[i]->id);

		if (((i - h) & mask) >= ((i - hole) & mask)) {
			t->slots[hole] = t->slots[i];
			hole = i;
		}
	}
	t->slots[hole] = NULL;
	t->n_used--;
	s->ended = true;
}

void stream_release(struct stream_table *t, struct conn_stream *s)
{
	buf_deinit(&s->wait);
	if (t->n_idle >= IDLE_MAX) {
		stream_free(s);
		return;
	}
	s->user = t->idle;
	t->idle = s;
	t->n_idle++;
	ASAN_POISON_MEMORY_REGION(s, sizeof *s);
}
