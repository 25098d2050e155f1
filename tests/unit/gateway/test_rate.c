/* How often clients may ask: what RATE says, buckets with a clock of ours, who counts as one client, and a table
 * that is full. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/ratelimit.h"
#include "gateway/rate.h"

static void rates_are_read(void **state)
{
	static const struct {
		const char *text;
		int64_t every_ns;
		unsigned burst;
	} good[] = {
		{"off", 0, 0}, {"1/s", NS_PER_S, 1}, {"10/s", NS_PER_S / 10, 10}, {"600/m:50", NS_PER_S / 10, 50},
		{"1/h", 3600 * NS_PER_S, 1}, {"2/s:1000000", NS_PER_S / 2, 1000000}, {"1000000/s", 1000, 1000000},
	};
	static const char *const bad[] = {
		"", "0/s", "10", "10/", "10/d", "10/s:", "10/s:0", "10/s:x", "10/s ", " 10/s", "-1/s", "+1/s", "1e3/s",
		"1000001/s", "99999999999999999999/s", "10/s:1000001", "10/s:5:5", "10/ss", "/s", "on",
	};
	struct rate r;
	char why[256];

	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		assert_int_equal(rate_parse(good[i].text, &r, why, sizeof why), 0);
		assert_int_equal(r.every_ns, good[i].every_ns);
		assert_int_equal(r.burst, good[i].burst);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		if (rate_parse(bad[i], &r, why, sizeof why) == 0)
			fail_msg("%s was taken", bad[i]);
		assert_non_null(strstr(why, "N/s"));
		assert_int_equal(r.burst, 0);
	}
}

static bool take(const struct rate *r, const char *who, int64_t ms, struct rate_room *room)
{
	return rate_take(r, who, strlen(who), 1000 * NS_PER_S + ms * NS_PER_MS, true, room);
}

/* 10 a second, 3 at once. */
static void a_bucket_empties_and_fills(void **state)
{
	const struct rate r = {NS_PER_S / 10, 3};
	struct rate_room room;

	for (unsigned i = 0; i < 3; i++) {
		assert_true(take(&r, "token:a", 0, &room));
		assert_int_equal(room.left, 2 - i);
		assert_int_equal(room.full_ns, (i + 1) * 100 * NS_PER_MS);
	}
	assert_int_equal(room.next_ns, 100 * NS_PER_MS);
	assert_false(take(&r, "token:a", 0, &room));
	assert_false(take(&r, "token:a", 99, &room)); /* what was refused has cost nothing */
	assert_int_equal(room.next_ns, NS_PER_MS);
	assert_true(take(&r, "token:b", 99, &room)); /* another one's is full */
	assert_int_equal(room.left, 2);
	assert_true(take(&r, "token:a", 100, &room));
	assert_false(take(&r, "token:a", 150, &room));
	assert_true(take(&r, "token:a", 60000, &room)); /* not more than burst, however long it was silent */
	assert_int_equal(room.left, 2);
}

static void looking_takes_nothing(void **state)
{
	const struct rate r = {NS_PER_S, 1};
	struct rate_room room;

	for (int i = 0; i < 5; i++)
		assert_true(rate_take(&r, "looks", 5, 2000 * NS_PER_S, false, &room));
	assert_int_equal(room.left, 1);
	assert_true(rate_take(&r, "looks", 5, 2000 * NS_PER_S, true, &room));
	assert_false(rate_take(&r, "looks", 5, 2000 * NS_PER_S, false, &room));
	assert_int_equal(room.next_ns, NS_PER_S);
}

/* Over an hour nobody gets more than the rate and one burst. */
static void the_rate_holds(void **state)
{
	const struct rate r = {NS_PER_S / 7, 20};
	struct rate_room room;
	unsigned n = 0;

	for (int64_t ms = 0; ms < 3600 * 1000; ms += 3)
		n += take(&r, "token:greedy", ms, &room);
	assert_in_range(n, 3600 * 7 - 2, 3600 * 7 + 20);
}

/* SIGHUP brings another rate: who was far ahead by the former one waits no longer than the new one asks. */
static void another_rate_counts_at_once(void **state)
{
	const struct rate slow = {3600 * NS_PER_S, 5}, fast = {NS_PER_S, 2};
	struct rate_room room;

	for (int i = 0; i < 5; i++)
		assert_true(take(&slow, "token:reloaded", 0, &room));
	assert_false(take(&slow, "token:reloaded", 0, &room));
	assert_false(take(&fast, "token:reloaded", 0, &room));
	assert_true(room.next_ns <= NS_PER_S);
	assert_true(take(&fast, "token:reloaded", 1000, &room));
}

static bool same_place(const char *a, int64_t a_uid, const char *b, int64_t b_uid)
{
	uint8_t key[2][16];
	size_t len[2] = {rate_place(a, a_uid, key[0], 16), rate_place(b, b_uid, key[1], 16)};

	assert_true(len[0] > 1 && len[0] <= 16 && len[1] > 1 && len[1] <= 16);
	return len[0] == len[1] && memcmp(key[0], key[1], len[0]) == 0;
}

static void who_is_one_client(void **state)
{
	assert_true(same_place("10.0.0.1:81", -1, "10.0.0.1:65535", -1));
	assert_false(same_place("10.0.0.1:81", -1, "10.0.0.2:81", -1));
	assert_true(same_place("[2001:db8:1:2::1]:81", -1, "[2001:db8:1:2:ffff:ffff:ffff:ffff]:82", -1));
	assert_false(same_place("[2001:db8:1:2::1]:81", -1, "[2001:db8:1:3::1]:81", -1));
	assert_true(same_place("[::ffff:10.0.0.1]:81", -1, "10.0.0.1:5", -1));
	assert_true(same_place("[fe80::1%eth0]:81", -1, "[fe80::2%eth1]:81", -1));
	assert_true(same_place("unix:uid=5,pid=1", 5, "unix:uid=5,pid=2", 5));
	assert_false(same_place("unix:uid=5,pid=1", 5, "unix:uid=6,pid=1", 6));
}

/* A million clients with one request each: memory stays, and who asks too much is still known. */
static void a_crowd_pushes_nobody_in(void **state)
{
	const struct rate r = {NS_PER_S, 100};
	struct rate_room room;
	unsigned n = 0;

	for (int i = 0; i < 100; i++)
		assert_true(take(&r, "token:flood", 0, &room));
	for (uint32_t i = 0; i < 1000000; i++) {
		assert_true(rate_take(&r, &i, sizeof i, 1000 * NS_PER_S, true, &room));
		if (i % 1000 == 0)
			n += take(&r, "token:flood", 0, &room);
	}
	assert_int_equal(n, 0);
}

static void headers_say_it(void **state)
{
	struct ratelimit l;

	ratelimit_write(&l, "client", 7, 2, 10, "w=1");
	assert_string_equal(l.limit, "\"client\";r=7;t=2");
	assert_string_equal(l.policy, "\"client\";q=10;w=1");
	ratelimit_write(&l, "depth", UINT64_MAX, UINT64_MAX, UINT64_MAX, "qu=\"tasks\"");
	assert_string_equal(l.policy, "\"depth\";q=18446744073709551615;qu=\"tasks\"");
	assert_string_equal(l.limit, "\"depth\";r=18446744073709551615;t=18446744073709551615");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rates_are_read),
		cmocka_unit_test(a_bucket_empties_and_fills),
		cmocka_unit_test(looking_takes_nothing),
		cmocka_unit_test(the_rate_holds),
		cmocka_unit_test(another_rate_counts_at_once),
		cmocka_unit_test(who_is_one_client),
		cmocka_unit_test(a_crowd_pushes_nobody_in),
		cmocka_unit_test(headers_say_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
