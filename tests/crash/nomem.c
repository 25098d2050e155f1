/* nomem.c: preloaded into a daemon, fails its Nth allocation, N counted from the
 * moment the number is written into the file NOMEM names (shared memory; 0: none).
 * Not for builds with sanitizers, which have an allocator of their own. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *old, size_t size);

static _Atomic int64_t none;
static _Atomic int64_t *left = &none; /* allocations until the one that fails */

static void __attribute__((constructor)) nomem_begin(void)
{
	const char *path = getenv("NOMEM");
	int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *at;

	if (fd < 0)
		return;
	at = mmap(NULL, sizeof *left, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (at != MAP_FAILED)
		left = at;
}

static bool is_turn(void)
{
	if (atomic_load_explicit(left, memory_order_relaxed) <= 0 || atomic_fetch_sub(left, 1) != 1)
		return false;
	errno = ENOMEM;
	return true;
}

void *malloc(size_t size)
{
	return is_turn() ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	return is_turn() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *old, size_t size)
{
	return is_turn() ? NULL : __libc_realloc(old, size);
}
