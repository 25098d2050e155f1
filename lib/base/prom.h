/* prom.h: numbers for Prometheus: counters that cost no lock, and the text of a scrape
 * (exposition format 0.0.4). */
#ifndef BASE_PROM_H
#define BASE_PROM_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/buf.h"

enum { PROM_BUCKETS = 18 };

/* Times from 100 us to 60 s; zero is empty. Any thread; what is seen of one that is
 * written meanwhile may be one observation short. */
struct prom_histogram {
	_Atomic uint64_t n[PROM_BUCKETS + 1]; /* not cumulative; the last is +Inf's */
	_Atomic uint64_t sum_ns;
};
void prom_observe(struct prom_histogram *h, int64_t ns);

static inline void prom_add(_Atomic uint64_t *n, uint64_t more)
{
	atomic_fetch_add_explicit(n, more, memory_order_relaxed);
}
/* One more. */
static inline void prom_count(_Atomic uint64_t *n)
{
	prom_add(n, 1);
}
static inline uint64_t prom_read(const _Atomic uint64_t *n)
{
	return atomic_load_explicit(n, memory_order_relaxed);
}

/* What has begun and not ended, of two counters that others write meanwhile. */
static inline uint64_t prom_left(uint64_t begun, uint64_t ended)
{
	return begun > ended ? begun - ended : 0;
}

/* A family's head; its lines come next. */
void prom_family(struct buf *b, const char *name, const char *type, const char *help);
/* labels: "" or {name="value"}. */
void prom_value(struct buf *b, const char *name, const char *labels, uint64_t n);
/* labels without braces: `run="ASYNC"`, or "". */
void prom_histogram(struct buf *b, const char *name, const char *labels, const struct prom_histogram *h);
/* A label's value, escaped, without its quotes. */
void prom_label(struct buf *b, const char *value);
/* The families process_*: memory, files, time; without those that could not be read. */
void prom_process(struct buf *b);

#endif
