/* util.h: the handful of macros every file may use. */
#ifndef BASE_UTIL_H
#define BASE_UTIL_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof *(a))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define CONTAINER_OF(ptr, type, member) \
	((type *)(void *)((char *)(ptr) - offsetof(type, member)))
#define UNUSED __attribute__((unused))
#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* Locals freed at the end of their scope; hand out with `*outp = x; x = NULL`. */
static inline void util_freep(void *p)
{
	free(*(void **)p);
}
static inline void util_closep(int *fdp)
{
	if (*fdp >= 0)
		close(*fdp);
}
#define AUTO_FREE __attribute__((cleanup(util_freep)))
#define AUTO_CLOSE __attribute__((cleanup(util_closep)))

/* A run of bytes somebody else owns; not NUL-terminated. */
struct bytes {
	const uint8_t *data;
	size_t len;
};

/* Allocation for the daemons: never NULL, the process ends with a message on
 * failure (STYLE.md 15). Sizes a peer chooses are capped before they get here.
 * The client library must not use them: it returns errors. */
void *xmalloc(size_t size);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *fmt, ...) PRINTF(1, 2);
char *xvasprintf(const char *fmt, va_list ap) PRINTF(1, 0);

/* Says in `why` (of `size` bytes) what is wrong, and returns -1. */
int util_refuse(char *why, size_t size, const char *fmt, ...) PRINTF(3, 4);

#endif
