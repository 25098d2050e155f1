/* arena.c: see arena.h. */
#include "service/arena.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"

#define BLOCK_SIZE 8192

struct arena_block {
	struct arena_block *next;
	_Alignas(16) uint8_t data[];
};

void arena_init(struct arena *a, size_t max)
{
	a->p = a->first;
	a->end = a->first + sizeof a->first;
	a->blocks = NULL;
	a->total = 0;
	a->max = max;
}

void arena_deinit(struct arena *a)
{
	while (a->blocks != NULL) {
		struct arena_block *b = a->blocks;

		a->blocks = b->next;
		free(b);
	}
}

static struct arena_block *add_block(struct arena *a, size_t size)
{
	struct arena_block *b = malloc(sizeof *b + size);

	if (b == NULL)
		return NULL;
	b->next = a->blocks;
	a->blocks = b;
	return b;
}

void *arena_alloc(struct arena *a, size_t size)
{
	struct arena_block *b;
	uint8_t *out;

	if (size > a->max || a->total > a->max - size)
		return NULL;
	size = (size + 15) & ~(size_t)15;
	a->total += size;
	if (size > (size_t)(a->end - a->p)) {
		/* A big one gets its own block; the current one stays in use. */
		if (size > BLOCK_SIZE / 4)
			return (b = add_block(a, size)) != NULL ? b->data : NULL;
		b = add_block(a, BLOCK_SIZE);
		if (b == NULL)
			return NULL;
		a->p = b->data;
		a->end = b->data + BLOCK_SIZE;
	}
	out = a->p;
	a->p += size;
	return out;
}

char *arena_copy(struct arena *a, const void *s, size_t len)
{
	char *out = len < SIZE_MAX - 16 ? arena_alloc(a, len + 1) : NULL;

	if (out == NULL)
		return NULL;
	if (len > 0)
		memcpy(out, s, len);
	out[len] = '\0';
	return out;
}
