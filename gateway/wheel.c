/* See wheel.h. */
#include "gateway/wheel.h"

/* The slot after the one the deadline falls in: when that has begun it is past. */
static int64_t wheel_tick(int64_t deadline)
{
	return deadline / WHEEL_SLOT_NS + 1;
}

void wheel_init(struct wheel *w, int64_t now)
{
	for (size_t i = 0; i < WHEEL_SLOTS; i++)
		list_init(&w->slots[i]);
	w->done = now / WHEEL_SLOT_NS;
}

void wheel_add(struct wheel *w, struct wheel_node *n, int64_t deadline)
{
	int64_t tick = wheel_tick(deadline);

	n->deadline = deadline;
	if (tick <= w->done)
		tick = w->done + 1;
	list_push_back(&w->slots[tick % WHEEL_SLOTS], &n->link);
}

void wheel_remove(struct wheel_node *n)
{
	list_remove(&n->link);
}

static void wheel_expire_slot(struct list *slot, int64_t now, struct list *due)
{
	LIST_FOREACH(it, slot) {
		struct wheel_node *n = LIST_ENTRY(it, struct wheel_node, link);

		if (n->deadline > now)
			continue; /* of a later turn */
		list_remove(it);
		list_push_back(due, it);
	}
}

void wheel_expire(struct wheel *w, int64_t now, struct list *due)
{
	int64_t until = now / WHEEL_SLOT_NS;

	if (until - w->done > WHEEL_SLOTS)
		w->done = until - WHEEL_SLOTS;
	while (w->done < until)
		wheel_expire_slot(&w->slots[++w->done % WHEEL_SLOTS], now, due);
}

int64_t wheel_next(const struct wheel *w)
{
	for (int64_t i = 1; i <= WHEEL_SLOTS; i++)
		if (!list_empty(&w->slots[(w->done + i) % WHEEL_SLOTS]))
			return (w->done + i) * WHEEL_SLOT_NS;
	return -1;
}

int64_t wheel_when(const struct wheel_node *n)
{
	return wheel_tick(n->deadline) * WHEEL_SLOT_NS;
}
