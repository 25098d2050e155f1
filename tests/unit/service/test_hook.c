/* The engine of callbacks over both kinds of store, with a transport without a network:
 * each host answers as the test says. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "errand_v1.schema.h"
#include "service/hook_engine.h"
#include "service/loop.h"
#include "service/store_thread.h"
#include "service/task_clock.h"
#include "tests/unit/service/task_rig.h"


static struct schema *schema;

const struct schema *registry_schema(void)
{
	return schema;
}

/* --- the transport --- */

static struct {
	struct hook_send *held[256]; /* of hosts that hang */
	unsigned n_held;
	unsigned n_sent;
	char last_id[80];
	int status;                  /* of all but hang.test */
	bool running;
} net;

static int net_start(const struct hook_transport_options *o, char *why, size_t why_size)
{
	net.running = true;
	return 0;
}

static const char *header(const struct hook_send *s, const char *name)
{
	for (const char *const *h = s->headers; *h != NULL; h++)
		if (strncmp(*h, name, strlen(name)) == 0)
			return *h + strlen(name);
	return "";
}

static void net_send(struct hook_send *s)
{
	bool hangs = strstr(s->url, "hang.test") != NULL;

	net.n_sent++;
	snprintf(net.last_id, sizeof net.last_id, "%s", header(s, "webhook-id: "));
	if (hangs) {
		assert_true(net.n_held < 256);
		net.held[net.n_held++] = s;
		return;
	}
	s->status = net.status;
	s->done(s);
}

static void net_stop(void)
{
	for (unsigned i = 0; i < net.n_held; i++)
		net.held[i]->done(net.held[i]);
	net.n_held = 0;
	net.running = false;
}

static const struct hook_transport network = {"test", net_start, net_send, net_stop};

/* --- deliveries in the store --- */

struct fill {
	struct store_op op;
	const char *url;
	unsigned first, n;
	bool done;
};

static struct uuid task_of(unsigned i)
{
	struct uuid id = {{1, 2, 3, 4, 5, 6, 0x77, 8, 0x89, 10, 11, 12}};

	id.b[14] = (uint8_t)(i >> 8);
	id.b[15] = (uint8_t)i;
	return id;
}

static int fill_run(struct store_op *op, const struct store_ops *ops, struct store *s)
{
	struct fill *f = CONTAINER_OF(op, struct fill, op);
	int r = 0;

	for (unsigned i = f->first; i < f->first + f->n && r == 0; i++) {
		struct uuid task = task_of(i);
		struct hook_delivery d = {.event = (char *)"task.succeeded", .url = (char *)f->url,
					  .state = HOOK_PENDING, .event_us = 1000000,
					  .due_us = task_clock_us() - 1000000 + i};

		hook_key(&task, 7, d.key);
		r = hook_put(ops, s, &d);
		if (r == 0)
			r = hook_put_task(ops, s, d.key, (struct bytes){(const uint8_t *)"\x0a\x01x", 3});
	}
	return r;
}

static void fill_done(struct store_op *op, int code)
{
	assert_int_equal(code, 0);
	CONTAINER_OF(op, struct fill, op)->done = true;
}

static void fill(const char *url, unsigned first, unsigned n)
{
	struct fill f = {.op = {.run = fill_run, .done = fill_done, .writes = true}, .url = url,
			 .first = first, .n = n};

	store_thread_submit(&f.op);
	await(is_set, &f.done);
}

struct shown {
	bool done;
	int code;
	enum hook_state state;
	uint32_t attempt;
	int status;
	char error[200];
};

static void on_shown(int code, const char *why, const struct hook_delivery *d, void *arg)
{
	struct shown *s = arg;

	s->code = code;
	if (d != NULL) {
		s->state = d->state;
		s->attempt = d->attempt;
		s->status = d->status;
		snprintf(s->error, sizeof s->error, "%s", d->error ? d->error : "");
	}
	s->done = true;
}

static struct shown ask(void (*how)(const char *, hook_done, void *), unsigned i)
{
	struct shown s = {0};
	struct uuid task = task_of(i);
	uint8_t key[HOOK_KEY_SIZE];
	char id[HOOK_ID_SIZE];

	hook_key(&task, 7, key);
	how(hook_id_format(key, id), on_shown, &s);
	await(is_set, &s.done);
	return s;
}

/* Until the delivery is in that state, or is no more (0). */
static struct shown until(unsigned i, enum hook_state state)
{
	int64_t end = clock_mono_ns() + 10 * NS_PER_S;
	struct shown s;

	do {
		s = ask(hook_show, i);
		assert_true(clock_mono_ns() < end);
	} while (state ? s.code != 0 || s.state != state : s.code != ERRAND_NOT_FOUND);
	return s;
}

/* --- the engine --- */

static char keys_path[] = "/tmp/test_hook.XXXXXX";
static struct hook_config hook_config;

static void begin_keeping(const char *retry, int64_t keep_ns)
{
	char why[256];

	hook_config = (struct hook_config){
		.keys = keys_path,
		.connect_ns = NS_PER_S,
		.total_ns = NS_PER_S,
		.keep_ns = keep_ns,
		.max_flight = 16,
		.max_host = 4,
		.breaker = {.failures = 3, .pause_us = 200000, .pause_max_us = 1000000},
		.transport = &network,
	};
	assert_int_equal(hook_schedule_parse(retry, &hook_config.schedule, why, sizeof why), 0);
	net.status = 200;
	net.n_sent = 0;
	assert_int_equal(hook_init(&hook_config, why, sizeof why), 0);
	hook_start();
}

static void begin(const char *retry)
{
	begin_keeping(retry, 3600 * NS_PER_S);
}

static void end(void)
{
	hook_stop();
	task_deinit();
	hook_deinit();
	start();
	assert_false(net.running);
}

/* --- tests --- */

static void delivered_and_shown(void **state)
{
	struct shown s;

	begin("10ms");
	fill("https://fast.test/", 0, 1);
	hook_look();
	s = until(0, HOOK_DELIVERED);
	assert_int_equal(s.attempt, 1);
	assert_int_equal(s.status, 200);
	assert_string_equal(net.last_id, "01020304-0506-7708-890a-0b0c00000000-7");
	end();
}

static void given_up_then_sent_by_hand(void **state)
{
	struct shown s;

	begin("1ms,1ms");
	net.status = 404;
	fill("https://fast.test/", 0, 1);
	hook_look();
	s = until(0, HOOK_DEAD);
	assert_int_equal(s.attempt, 3);
	assert_string_equal(s.error, "answered 404 Not Found");
	net.status = 204;
	s = ask(hook_redeliver, 0);
	assert_int_equal(s.state, HOOK_PENDING);
	s = until(0, HOOK_DELIVERED);
	assert_int_equal(s.attempt, 4);
	end();
}

static void one_that_is_gone(void **state)
{
	struct shown s;

	begin("1ms,1ms");
	net.status = 410;
	fill("https://fast.test/", 0, 1);
	hook_look();
	s = until(0, HOOK_DEAD);
	assert_int_equal(s.attempt, 1);
	end();
}

/* A host that hangs has its share and no more; the others are as fast as ever. */
static void who_hangs_holds_nobody(void **state)
{
	begin("1h");
	fill("https://hang.test/", 0, 300);
	hook_look();
	fill("https://fast.test/", 1000, 50);
	hook_look();
	for (unsigned i = 1000; i < 1050; i++)
		until(i, HOOK_DELIVERED);
	assert_int_equal(net.n_held, 4);
	assert_int_equal(hook_in_flight(), 4);
	/* what was broken off is neither delivered nor counted */
	hook_stop();
	task_deinit();
	hook_deinit();
	start();
}

static bool all_sent(void *arg)
{
	return net.n_sent == 2000;
}

static bool five_sent(void *arg)
{
	return net.n_sent >= 5;
}

static bool all_ended(void *arg)
{
	return hook_in_flight() == 0;
}

/* More than can wait in memory go out all the same, without anybody waiting long. */
static void many_for_one_host(void **state)
{
	begin("1h");
	fill("https://fast.test/", 0, 2000);
	hook_look();
	for (unsigned i = 0; i < 2000; i += 97)
		until(i, HOOK_DELIVERED);
	await(all_sent, NULL);
	await(all_ended, NULL);
	assert_int_equal(net.n_sent, 2000);
	end();
}

static void a_host_that_fails_pauses(void **state)
{
	int64_t begun;

	begin("1ms,1ms,1ms,1ms,1ms,1ms,1ms,1ms,1ms,1ms");
	net.status = 503;
	fill("https://fast.test/", 0, 1);
	hook_look();
	while (ask(hook_show, 0).attempt < 3)
		;
	begun = clock_mono_ns();
	net.status = 200;
	assert_int_equal(until(0, HOOK_DELIVERED).attempt, 4);
	assert_true(clock_mono_ns() - begun > 100 * NS_PER_MS);
	end();
}

/* Those who wait in memory go back to the store when their host pauses. */
static void who_waits_is_put_off(void **state)
{
	begin("1ms,1ms,1ms,1ms,1ms,1ms,1ms,1ms,1ms,1ms");
	net.status = 500;
	fill("https://fast.test/", 0, 100);
	hook_look();
	await(five_sent, NULL);
	net.status = 200;
	for (unsigned i = 0; i < 100; i += 9)
		until(i, HOOK_DELIVERED);
	end();
}

static void forgotten_in_time(void **state)
{
	begin_keeping("1ms", 0);
	fill("https://fast.test/", 0, 3);
	hook_look();
	for (unsigned i = 0; i < 3; i++)
		until(i, 0);
	end();
}

static int make_keys(void **state)
{
	static const char secret[] = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n";
	char why[256];
	int fd = mkstemp(keys_path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, secret, sizeof secret - 1), (ssize_t)sizeof secret - 1);
	close(fd);
	return schema_load(errand_v1_schema, errand_v1_schema_len, &schema, why, sizeof why);
}

static int remove_keys(void **state)
{
	unlink(keys_path);
	schema_unref(schema);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(delivered_and_shown), BOTH(given_up_then_sent_by_hand), BOTH(one_that_is_gone),
		BOTH(who_hangs_holds_nobody), BOTH(many_for_one_host), BOTH(a_host_that_fails_pauses),
		BOTH(who_waits_is_put_off),
		BOTH(forgotten_in_time),
	};

	return cmocka_run_group_tests(tests, make_keys, remove_keys);
}
