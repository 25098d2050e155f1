/* hook.c: the life of the engine, and its look at the store: what is due is taken, what
 * is over is forgotten, what finds no room is put off. A look reads; what it decides is
 * written by one op behind it, the sweep, so that an idle service writes nothing. */
#define _GNU_SOURCE
#include "service/hook.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/secret.h"
#include "errand/status.h"
#include "service/hook_engine.h"
#include "service/hook_move.h"
#include "service/task_clock.h"

#define BATCH 64                   /* looked at beyond what is taken */
#define SLEEP_NS (15 * NS_PER_S)   /* at most: the engine's clock and the timer's may differ */
#define FAILED_NS NS_PER_S         /* after the store failed */
#define FOREVER_US (1LL << 60)
#define GONE_BATCH 256

struct hook_engine hooks;

/* What is to be written: due 0 = it is forgotten. */
struct change {
	uint8_t key[HOOK_KEY_SIZE];
	int64_t due_us;
};

static struct {
	struct store_op look, sweep;
	struct loop_timer timer;
	int64_t timer_us;              /* when it looks, by the engine's clock; 0: it is not set */
	bool looking, again, sweeping;
	struct record *rows;           /* the look's */
	size_t n_rows, limit;
	int64_t gone_us;               /* when an endpoint that is gone is forgotten, 0 = none */
	struct change *changes, *writing; /* gathered; the sweep's */
	size_t n_changes, cap_changes, n_writing;
} k;

/* --- the sweep --- */

static void add_change(const uint8_t key[HOOK_KEY_SIZE], int64_t due_us)
{
	if (k.n_changes == k.cap_changes)
		k.changes = xrealloc(k.changes, (k.cap_changes = k.cap_changes ? 2 * k.cap_changes : 16) *
				     sizeof *k.changes);
	memcpy(k.changes[k.n_changes].key, key, HOOK_KEY_SIZE);
	k.changes[k.n_changes++].due_us = due_us;
}

static int change_one(const struct store_ops *ops, struct store *s, const struct change *c)
{
	struct hook_delivery d;
	int r;

	if (c->due_us == 0)
		return hook_remove(ops, s, c->key);
	r = hook_get(ops, s, c->key, &d);
	if (r == 0 && d.state == HOOK_PENDING) {
		d.due_us = c->due_us;
		r = hook_put(ops, s, &d);
	}
	hook_delivery_deinit(&d);
	return r == -ERRAND_NOT_FOUND ? 0 : r;
}

static int forget_gone(const struct store_ops *ops, struct store *s)
{
	struct record *rows = NULL;
	size_t n = 0;
	int r = ops->due_records(s, RECORD_CALLBACK_GONE, task_clock_us(), GONE_BATCH, &rows, &n);

	for (size_t i = 0; i < n && r == 0; i++)
		r = ops->remove_record(s, RECORD_CALLBACK_GONE, buf_bytes(&rows[i].key));
	records_free(rows, n);
	return r;
}

static int sweep_run(struct store_op *op, const struct store_ops *ops, struct store *s)
{
	int r = forget_gone(ops, s);

	for (size_t i = 0; i < k.n_writing && r == 0; i++)
		r = change_one(ops, s, &k.writing[i]);
	return r;
}

static void sweep_done(struct store_op *op, int code)
{
	free(k.writing);
	k.writing = NULL;
	k.n_writing = 0;
	k.sweeping = false;
	if (code == 0)
		hook_look();
}

static bool sweep(void)
{
	bool gone = k.gone_us != 0 && k.gone_us <= task_clock_us();

	if (k.sweeping || (k.n_changes == 0 && !gone))
		return false;
	k.writing = k.changes;
	k.n_writing = k.n_changes;
	k.changes = NULL;
	k.n_changes = k.cap_changes = 0;
	k.gone_us = 0;
	k.sweeping = true;
	k.sweep = (struct store_op){.run = sweep_run, .done = sweep_done, .writes = true};
	store_thread_submit(&k.sweep);
	return true;
}

void hook_put_off(const uint8_t key[HOOK_KEY_SIZE], int64_t due_us)
{
	add_change(key, due_us);
	hook_look(); /* whose end sweeps */
}

/* --- the look --- */

static int look_run(struct store_op *op, const struct store_ops *ops, struct store *s)
{
	int r;

	records_free(k.rows, k.n_rows);
	k.rows = NULL;
	k.n_rows = 0;
	r = ops->due_records(s, RECORD_DELIVERY, FOREVER_US, k.limit, &k.rows, &k.n_rows);
	return r < 0 ? r : ops->next_record(s, RECORD_CALLBACK_GONE, &k.gone_us);
}

/* One that is due. */
static void take(struct hook_delivery *d)
{
	struct hook_host *h;
	struct hook_url where;
	char why[256];

	if (d->state != HOOK_PENDING) {
		add_change(d->key, 0);
		return;
	}
	hook_url_check(&hooks.rules, d->url, &where, why, sizeof why);
	h = hook_host_get(&where);
	if (hook_host_has_room(h))
		hook_flight_take(d);
	else
		add_change(d->key, hook_host_slot(h));
}

/* Goes through what was read; gives when the next one is due: 0 = at once, -1 = not
 * before something changes. */
static int64_t take_due(void)
{
	int64_t now = task_clock_us();

	for (size_t i = 0; i < k.n_rows; i++) {
		const struct record *row = &k.rows[i];
		struct hook_delivery d;

		if (map_get(&hooks.taken, row->key.data, row->key.len) != NULL)
			continue;
		if (row->due_us > now)
			return row->due_us;
		if (!hook_read(row, &d)) {
			log_error("a delivery in the store cannot be read and is dropped", NULL);
			if (row->key.len == HOOK_KEY_SIZE)
				add_change(row->key.data, 0);
			continue;
		}
		take(&d);
		hook_delivery_deinit(&d);
	}
	return k.n_rows == k.limit ? 0 : -1;
}

static void on_timer(void *arg)
{
	k.timer_us = 0;
	hook_look();
}

static void sleep_until(int64_t us)
{
	int64_t ns = MIN(us - task_clock_us(), SLEEP_NS / 1000) * 1000;

	if (k.timer_us != 0 && k.timer_us <= us)
		return;
	k.timer_us = us;
	loop_timer_cancel(&k.timer);
	loop_timer_start(&k.timer, MAX(ns, NS_PER_MS), on_timer, NULL);
}

void hook_look_at(int64_t due_us)
{
	if (k.looking)
		k.again = true;
	else if (hooks.started)
		sleep_until(due_us);
}

/* Whoever asks for a look meanwhile gets it behind this one. */
static int64_t use_rows(void)
{
	int64_t next = -1;

	if (!hooks.draining) {
		next = take_due();
		hook_host_pump_all();
	}
	records_free(k.rows, k.n_rows);
	k.rows = NULL;
	k.n_rows = 0;
	return next;
}

static void look_done(struct store_op *op, int code)
{
	int64_t next = code == 0 && hooks.started ? use_rows() : -1;

	k.looking = false;
	if (!hooks.started)
		return;
	if (code < 0) {
		sleep_until(task_clock_us() + FAILED_NS / 1000);
		return;
	}
	if (sweep()) {
		k.again = false; /* it looks when it is done */
		return;
	}
	if (k.again || (next == 0 && !k.sweeping)) {
		k.again = false;
		hook_look();
	} else if (next > 0) {
		sleep_until(next);
	} else if (k.gone_us != 0) {
		sleep_until(k.gone_us);
	}
}

void hook_look(void)
{
	if (!hooks.started || k.looking) {
		k.again = k.looking;
		return;
	}
	k.looking = true;
	k.limit = hooks.n_taken + BATCH;
	k.look = (struct store_op){.run = look_run, .done = look_done};
	store_thread_submit(&k.look);
}

/* --- beginning and end --- */

static int read_rules(const struct hook_config *config, char *why, size_t why_size)
{
	int r = 0;

	for (size_t i = 0; i < config->n_allow && r == 0; i++)
		r = hook_rules_add(&hooks.rules, config->allow[i], why, why_size);
	return r;
}

int hook_init(const struct hook_config *config, char *why, size_t why_size)
{
	int r;

	hooks = (struct hook_engine){.config = *config};
	hook_flight_init();
	r = read_rules(config, why, why_size);
	if (r == 0 && config->keys != NULL) {
		hooks.keys_file = xstrdup(config->keys);
		r = hook_keys_read(config->keys, &hooks.keys, why, why_size);
	}
	hooks.ca = config->ca != NULL ? xstrdup(config->ca) : NULL;
	if (r == 0 && hooks.keys != NULL) {
		secret_held();
		hook_policy_set(&hooks.rules, hook_look);
	}
	return r;
}

/* Without secrets nothing is sent; what is in the store waits for a service that has
 * some. */
void hook_start(void)
{
	hooks.started = hooks.keys != NULL;
	hook_look();
}

void hook_reload(void)
{
	struct hook_keys *keys;
	char why[512];

	if (hooks.keys == NULL)
		return;
	if (hook_keys_read(hooks.keys_file, &keys, why, sizeof why) < 0) {
		log_error("--callback-keys: the former secrets stay", "reason=\"%s\"", why);
		return;
	}
	hook_keys_free(hooks.keys);
	hooks.keys = keys;
	log_info("--callback-keys: read again", "secrets=%zu", hook_keys_count(keys));
}

void hook_drain_begin(void)
{
	hooks.draining = true;
}

size_t hook_in_flight(void)
{
	return hooks.n_flight;
}

void hook_stop(void)
{
	hooks.draining = true;
	hook_policy_set(NULL, NULL);
	if (hooks.transport != NULL)
		hooks.transport->stop();
	hook_flight_stop();
	loop_timer_cancel(&k.timer);
	hooks.started = false;
}

void hook_deinit(void)
{
	struct hook_flight *f;
	size_t pos;

	while (pos = 0, (f = map_next(&hooks.taken, &pos)) != NULL)
		hook_flight_free(f);
	map_deinit(&hooks.taken);
	hook_hosts_free();
	hook_rules_deinit(&hooks.rules);
	hook_keys_free(hooks.keys);
	free(hooks.keys_file);
	free(hooks.ca);
	free(k.changes);
	free(k.writing);
	records_free(k.rows, k.n_rows);
	memset(&k, 0, sizeof k);
	hooks = (struct hook_engine){0};
}
