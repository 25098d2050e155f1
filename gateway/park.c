/* park.c: see park.h. A list in the order of arrival and one timer at the earliest of
 * their moments. */
#define _GNU_SOURCE
/* Before ours: it has a LIST_ENTRY of its own for a while. */
#include <event2/event.h>
#include <event2/event_struct.h>

#include "gateway/park.h"

#include <stdatomic.h>

#include "base/clock.h"
#include "base/util.h"

struct park {
	struct list waiting;
	_Atomic size_t n_waiting; /* other threads look at it */
	size_t n_bytes;
	int64_t wake_at; /* when timer is due; INT64_MAX = not set */
	struct event timer;
	void (*resume)(struct parked *p, bool late);
};

static void park_wake_at(struct park *k, int64_t when)
{
	int64_t ns = MAX(when - clock_mono_ns(), 0);
	const struct timeval tv = {ns / NS_PER_S, ns % NS_PER_S / 1000 + 1};

	if (when >= k->wake_at)
		return;
	k->wake_at = when;
	event_add(&k->timer, &tv);
}

void park_remove(struct park *k, struct parked *p)
{
	if (list_empty(&p->node))
		return;
	list_remove(&p->node);
	k->n_waiting--;
	k->n_bytes -= p->n_bytes;
}

static void park_let_go(struct park *k, struct parked *p, bool late)
{
	park_remove(k, p);
	k->resume(p, late);
}

/* resume may park it again, at the end: so those there are now are counted first. */
static void park_late(struct park *k, int64_t until)
{
	for (size_t n = k->n_waiting; n > 0 && !list_empty(&k->waiting); n--) {
		struct parked *p = LIST_ENTRY(k->waiting.next, struct parked, node);

		if (p->until_ns <= until) {
			park_let_go(k, p, true);
			continue;
		}
		list_remove(&p->node); /* and behind those not looked at: all turn once */
		list_push_back(&k->waiting, &p->node);
		park_wake_at(k, p->until_ns);
	}
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct park *k = arg;

	k->wake_at = INT64_MAX;
	park_late(k, clock_mono_ns());
}

struct park *park_new(struct event_base *base, void (*resume)(struct parked *p, bool late))
{
	struct park *k = xcalloc(1, sizeof *k);

	list_init(&k->waiting);
	k->wake_at = INT64_MAX;
	k->resume = resume;
	event_assign(&k->timer, base, -1, 0, on_timer, k);
	return k;
}

struct park *park_free(struct park *k)
{
	if (k == NULL)
		return NULL;
	while (!list_empty(&k->waiting))
		list_pop_front(&k->waiting);
	event_del(&k->timer);
	free(k);
	return NULL;
}

size_t park_count(const struct park *k)
{
	return k != NULL ? atomic_load_explicit(&k->n_waiting, memory_order_relaxed) : 0;
}

bool park_add(struct park *k, struct parked *p, size_t n_bytes, int64_t until_ns)
{
	if (k->n_waiting == PARK_MAX || n_bytes > PARK_BYTES - k->n_bytes)
		return false;
	p->until_ns = until_ns;
	p->n_bytes = n_bytes;
	list_push_back(&k->waiting, &p->node);
	k->n_waiting++;
	k->n_bytes += n_bytes;
	park_wake_at(k, until_ns);
	return true;
}

bool park_resume_first(struct park *k)
{
	if (list_empty(&k->waiting))
		return false;
	park_let_go(k, LIST_ENTRY(k->waiting.next, struct parked, node), false);
	return true;
}

void park_end(struct park *k)
{
	park_late(k, INT64_MAX);
}
