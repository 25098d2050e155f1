/* The waiting room alone: order, moments, bounds, and those who leave early. */
#define _GNU_SOURCE
#include <event2/event.h>

#include "fixture.h"

#include <stdlib.h>

#include "base/clock.h"
#include "gateway/park.h"

enum { N = 8 };

static struct event_base *base;
static struct park *park;
static struct parked guests[N];
static char said[64]; /* "a" resumed, "A" late, in their order */
static int again;     /* how often one of them parks itself anew */

static void on_resume(struct parked *p, bool late)
{
	size_t n = strlen(said);

	said[n] = (char)((late ? 'A' : 'a') + (p - guests));
	if (again > 0) {
		again--;
		assert_true(park_add(park, p, 1, clock_mono_ns() + 3600 * NS_PER_S));
	}
}

static int setup(void **state)
{
	memset(said, 0, sizeof said);
	again = 0;
	base = event_base_new();
	park = park_new(base, on_resume);
	for (int i = 0; i < N; i++)
		list_init(&guests[i].node);
	return 0;
}

static int teardown(void **state)
{
	park = park_free(park);
	event_base_free(base);
	return 0;
}

static void add(int i, int64_t in_ns)
{
	assert_true(park_add(park, &guests[i], 1, clock_mono_ns() + in_ns));
}

/* Turns the loop until so many have been let go. */
static void until_said(size_t n)
{
	int64_t begun = clock_mono_ns();

	while (strlen(said) < n) {
		event_base_loop(base, EVLOOP_ONCE);
		assert_true(clock_mono_ns() - begun < 5 * NS_PER_S);
	}
}

static void test_order(void **state)
{
	for (int i = 0; i < 4; i++)
		add(i, (10 - i) * NS_PER_S);
	assert_string_equal(said, ""); /* never from inside */
	while (park_resume_first(park))
		;
	assert_string_equal(said, "abcd");
	assert_false(park_resume_first(park));
}

/* Each at its own moment; those that stay keep their order. */
static void test_late(void **state)
{
	add(0, 3600 * NS_PER_S);
	add(1, 40 * NS_PER_MS);
	add(2, 3600 * NS_PER_S);
	add(3, 5 * NS_PER_MS);
	add(4, 3600 * NS_PER_S);
	until_said(2);
	assert_string_equal(said, "DB");
	while (park_resume_first(park))
		;
	assert_string_equal(said, "DBace");
}

static void test_gone(void **state)
{
	add(0, 5 * NS_PER_MS);
	add(1, 10 * NS_PER_MS);
	add(2, 3600 * NS_PER_S);
	park_remove(park, &guests[0]); /* its client has gone */
	park_remove(park, &guests[0]);
	park_remove(park, &guests[5]); /* never was here */
	until_said(1);
	assert_string_equal(said, "B");
	park_remove(park, &guests[2]);
	assert_false(park_resume_first(park));
}

/* Let go, and not taken after all: behind the others, and only once a turn. */
static void test_again(void **state)
{
	for (int i = 0; i < 3; i++)
		add(i, 3600 * NS_PER_S);
	again = 1;
	while (park_resume_first(park))
		;
	assert_string_equal(said, "abca");
	for (int i = 0; i < 3; i++)
		add(i, 3600 * NS_PER_S);
	again = 1;
	park_end(park);
	assert_string_equal(said, "abcaABC");
	assert_true(park_resume_first(park));
	assert_string_equal(said, "abcaABCa");
}

static void test_bounds(void **state)
{
	struct parked *many = calloc(PARK_MAX + 1, sizeof *many);
	const int64_t until = clock_mono_ns() + 3600 * NS_PER_S;

	for (int i = 0; i < PARK_MAX; i++)
		assert_true(park_add(park, &many[i], 0, until));
	list_init(&many[PARK_MAX].node);
	assert_false(park_add(park, &many[PARK_MAX], 0, until));
	park_remove(park, &many[7]);
	assert_true(park_add(park, &many[PARK_MAX], 0, until));
	for (int i = 0; i <= PARK_MAX; i++)
		park_remove(park, &many[i]);
	free(many);
	assert_true(park_add(park, &guests[0], PARK_BYTES - 10, until));
	assert_false(park_add(park, &guests[1], 11, until));
	assert_true(park_add(park, &guests[1], 10, until));
	assert_false(park_add(park, &guests[2], 1, until));
	assert_false(park_add(park, &guests[2], SIZE_MAX, until));
	assert_true(park_resume_first(park)); /* what has left takes no room */
	assert_true(park_add(park, &guests[2], PARK_BYTES - 10, until));
}

#define PARK_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PARK_TEST(test_order), PARK_TEST(test_late), PARK_TEST(test_gone),
		PARK_TEST(test_again), PARK_TEST(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
