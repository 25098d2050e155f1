/* hook_host.c: the hosts callbacks go to, each with a share of what may be under way, so
 * that one that hangs leaves the others as they are. What has no room even to wait goes
 * back to the store with a later due time, spread by how fast its host has been. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "service/hook_engine.h"
#include "service/task_clock.h"

#define HOSTS_MAX 1024          /* kept without need */
#define TAKES_FIRST_US 4000     /* too short is better: who comes too early is put off again */
#define WAITING_MAX 256         /* of one host ... */
#define WAITING_CROWDED 4       /* ... while many wait */
#define CROWD 2048
#define SPREAD_US (60 * US_PER_S)
#define SOON_US (100 * 1000)

static bool idle(const struct hook_host *h, int64_t now)
{
	return h->n_flight == 0 && h->n_waiting == 0 && h->breaker.open_until_us < now;
}

/* Whoever can name targets can name many: those of which nothing is to be remembered go. */
static void drop_idle(void)
{
	int64_t now = task_clock_us();
	struct hook_host *h;
	size_t pos = 0;

	while ((h = map_next(&hooks.hosts, &pos)) != NULL)
		if (idle(h, now)) {
			map_remove_str(&hooks.hosts, h->name);
			free(h);
		}
}

struct hook_host *hook_host_get(const struct hook_url *where)
{
	char name[sizeof((struct hook_host *)NULL)->name];
	struct hook_host *h;

	snprintf(name, sizeof name, "%s:%u", where->host, (unsigned)where->port);
	h = map_get_str(&hooks.hosts, name);
	if (h != NULL)
		return h;
	if (hooks.hosts.n_used >= HOSTS_MAX)
		drop_idle();
	h = xcalloc(1, sizeof *h);
	memcpy(h->name, name, sizeof name);
	h->takes_us = TAKES_FIRST_US;
	list_init(&h->waiting);
	map_put_str(&hooks.hosts, h->name, h);
	return h;
}

bool hook_host_has_room(const struct hook_host *h)
{
	return h->n_waiting < (hooks.n_taken < CROWD ? WAITING_MAX : WAITING_CROWDED);
}

int64_t hook_host_slot(struct hook_host *h)
{
	int64_t now = task_clock_us(), from, when;

	from = hook_breaker_allows(&h->breaker, now, &when) || when == 0 ? now + SOON_US : when;
	h->slot_us = MAX(h->slot_us + h->takes_us / hooks.config.max_host, from);
	if (h->slot_us > from + SPREAD_US)
		h->slot_us = from;
	return h->slot_us;
}

static void put_off_waiting(struct hook_host *h)
{
	struct list *node;

	while ((node = list_pop_front(&h->waiting)) != NULL) {
		struct hook_flight *f = LIST_ENTRY(node, struct hook_flight, node);

		h->n_waiting--;
		hook_put_off(f->d.key, hook_host_slot(h));
		hook_flight_free(f);
	}
}

/* Begins what may be; what its breaker forbids is put off. */
static void pump(struct hook_host *h)
{
	int64_t when;

	while (h->n_waiting > 0 && h->n_flight < hooks.config.max_host &&
	       hooks.n_flight < hooks.config.max_flight && !hooks.draining) {
		struct hook_flight *f;

		if (!hook_breaker_allows(&h->breaker, task_clock_us(), &when)) {
			if (when != 0)
				put_off_waiting(h);
			return;
		}
		f = LIST_ENTRY(list_pop_front(&h->waiting), struct hook_flight, node);
		h->n_waiting--;
		hook_breaker_begin(&h->breaker);
		hook_flight_begin(f);
	}
}

void hook_host_pump_all(void)
{
	struct hook_host *h;
	size_t pos = 0;

	while (hooks.n_flight < hooks.config.max_flight && (h = map_next(&hooks.hosts, &pos)) != NULL)
		pump(h);
}

void hook_hosts_free(void)
{
	struct hook_host *h;

	for (size_t pos = 0; (h = map_next(&hooks.hosts, &pos)) != NULL;)
		free(h);
	map_deinit(&hooks.hosts);
	hooks.hosts = MAP_INIT;
}
