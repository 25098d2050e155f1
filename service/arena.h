/* arena.h: memory that is freed all at once: a call's input, its metadata. The
 * first bytes are inside the owner, so that a small call asks malloc for nothing;
 * a bound on the whole keeps a crafted message from asking for too much. One
 * thread at a time. */
#ifndef SERVICE_ARENA_H
#define SERVICE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#define ARENA_INLINE 512

struct arena {
	uint8_t *p, *end;          /* what is left of the current block */
	struct arena_block *blocks; /* owned */
	size_t total, max;         /* bytes asked for; their bound */
	_Alignas(16) uint8_t first[ARENA_INLINE];
};

void arena_init(struct arena *a, size_t max);
void arena_deinit(struct arena *a);
/* Aligned to 16; NULL when the bound is met. */
void *arena_alloc(struct arena *a, size_t size);
/* NUL-terminated copy; NULL when the bound is met. */
char *arena_copy(struct arena *a, const void *s, size_t len);

#endif
