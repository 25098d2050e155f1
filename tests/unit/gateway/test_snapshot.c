/* Schemas that are replaced while other threads use them: each sees a whole one, none
 * goes back to one before, and all but the newest are freed. */
#define _GNU_SOURCE
#include "fixture.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "base/log.h"
#include "gateway/builtin.h"
#include "gateway/snapshot.h"
#include "schema/route_claims.h"

enum { N_THREADS = 3, N_PUBLISHED = 400 }; /* e2e/test_reload.py does 1,000 */

static struct buf sets[2];
static _Atomic bool stop;
static _Atomic unsigned n_wrong, n_seen;

static int setup(void **state)
{
	log_init("test", LOG_LEVEL_ERROR);
	fixture_set("road", &sets[0]);
	fixture_set("clash", &sets[1]);
	return 0;
}

static int teardown(void **state)
{
	snapshot_deinit();
	buf_deinit(&sets[0]);
	buf_deinit(&sets[1]);
	return 0;
}

static bool is_whole(const struct snapshot *s)
{
	struct route_match m;

	return s->schema != NULL && route_find(s->routes, "GET", "/items/1", &m, NULL) == 0 &&
	       strcmp(m.route->method->name, "GetItem") == 0;
}

static void *user(void *arg)
{
	struct snapshot *held = NULL, *older = NULL;

	while (!atomic_load(&stop)) {
		uint64_t before = held != NULL ? held->generation : 0;

		snapshot_unref(older);
		older = held != NULL ? snapshot_ref(held) : NULL; /* a request that goes on */
		snapshot_refresh(&held);
		if (held == NULL)
			continue;
		if (held->generation < before || !is_whole(held) || (older != NULL && !is_whole(older)))
			atomic_fetch_add(&n_wrong, 1);
		if (held->generation != before)
			atomic_fetch_add(&n_seen, 1);
		sched_yield();
	}
	snapshot_unref(older);
	snapshot_unref(held);
	return NULL;
}

static void test_replaced_under_load(void **state)
{
	pthread_t threads[N_THREADS];
	uint8_t digest[32] = {0};
	char why[256] = "";

	for (int i = 0; i < N_THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, user, NULL), 0);
	for (unsigned i = 0; i < N_PUBLISHED; i++) {
		memcpy(digest, &i, sizeof i);
		digest[31] = 1;
		if (i % 2 == 0) /* of a file first, of services from the second on */
			snapshot_publish_file(buf_bytes(&sets[0]), why, sizeof why);
		assert_int_equal(snapshot_publish((struct bytes){digest, sizeof digest}, buf_bytes(&sets[0]),
						  why, sizeof why), 0);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < N_THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&n_wrong), 0);
	assert_true(atomic_load(&n_seen) >= N_THREADS);
	assert_int_equal(snapshot_generation(), N_PUBLISHED + 1);
}

/* A refused one leaves what there is; the same digest is no news. */
static void test_refused(void **state)
{
	static const uint8_t one[32] = {1}, two[32] = {2};
	char why[256] = "";
	struct snapshot *s = NULL;
	uint64_t before;

	assert_int_equal(snapshot_publish((struct bytes){one, 32}, buf_bytes(&sets[0]), why, sizeof why), 0);
	before = snapshot_generation();
	assert_int_equal(snapshot_publish((struct bytes){one, 32}, buf_bytes(&sets[0]), why, sizeof why), 0);
	assert_int_equal(snapshot_generation(), before);
	assert_true(snapshot_publish((struct bytes){two, 32}, buf_bytes(&sets[1]), why, sizeof why) < 0);
	assert_true(strlen(why) > 0);
	assert_true(snapshot_publish((struct bytes){two, 32}, (struct bytes){(const uint8_t *)"\x0a\x05", 2},
				     why, sizeof why) < 0);
	assert_int_equal(snapshot_generation(), before);
	assert_true(snapshot_is_current((struct bytes){one, 32}));
	assert_true(snapshot_publish_file(buf_bytes(&sets[0]), why, sizeof why) < 0);
	assert_non_null(strstr(why, "service"));
	snapshot_refresh(&s);
	assert_true(is_whole(s));
	snapshot_unref(s);
}

/* Files replace files, and services what files gave; no service's digest names a file's. */
static void test_of_files(void **state)
{
	static const uint8_t zero[32] = {0}, one[32] = {1};
	char why[256] = "";

	assert_int_equal(snapshot_publish_file(buf_bytes(&sets[0]), why, sizeof why), 0);
	assert_int_equal(snapshot_publish_file(buf_bytes(&sets[0]), why, sizeof why), 0);
	assert_true(snapshot_publish_file(buf_bytes(&sets[1]), why, sizeof why) < 0);
	assert_int_equal(snapshot_generation(), 2);
	assert_false(snapshot_is_current((struct bytes){NULL, 0}));
	assert_false(snapshot_is_current((struct bytes){zero, 32}));
	assert_int_equal(snapshot_publish((struct bytes){one, 32}, buf_bytes(&sets[0]), why, sizeof why), 0);
	assert_int_equal(snapshot_generation(), 3);
}

/* One of those who hear of a schema fetches it, and another one should that fail. */
static void test_fetched_once(void **state)
{
	static const uint8_t one[32] = {1}, two[32] = {2};
	const struct bytes first = {one, 32}, second = {two, 32};
	char why[256] = "";

	assert_true(snapshot_claim(first));
	assert_false(snapshot_claim(first));
	assert_true(snapshot_claim(second)); /* it has changed again */
	assert_false(snapshot_claim((struct bytes){one, 31}));
	assert_int_equal(snapshot_publish(first, buf_bytes(&sets[0]), why, sizeof why), 0);
	assert_false(snapshot_claim(first)); /* that is there */
	assert_true(snapshot_claim(second));
	snapshot_unclaim();
	assert_true(snapshot_claim(second));
	assert_true(snapshot_publish(second, buf_bytes(&sets[1]), why, sizeof why) < 0);
	assert_true(snapshot_claim(second)); /* refused, but it may be right next time */
}

/* Paths that are not to be had are refused with the names of both. */
static void test_claims(void **state)
{
	static const uint8_t digest[32] = {7}, other[32] = {8};
	AUTO_BUF claim = BUF_INIT;
	AUTO_BUF own = BUF_INIT;
	AUTO_BUF page = BUF_INIT;
	char why[256] = "";

	fixture_set("claim", &claim);
	fixture_set("claim_own", &own);
	assert_true(snapshot_publish((struct bytes){digest, 32}, buf_bytes(&claim), why, sizeof why) < 0);
	assert_non_null(strstr(why, "claim.v1.Claim/Mine: /v1/tasks/{id}/mine is under /v1/tasks/"));
	assert_non_null(strstr(why, "errand.v1.Tasks"));
	assert_true(snapshot_publish((struct bytes){digest, 32}, buf_bytes(&own), why, sizeof why) < 0);
	assert_non_null(strstr(why, "claim.v1.Own/Ready: /readyz"));
	assert_non_null(strstr(why, "gateway's own"));
	memcpy(memmem(own.data, own.len, "/readyz", 7), "/docs/x", 7);
	assert_true(snapshot_publish((struct bytes){digest, 32}, buf_bytes(&own), why, sizeof why) < 0);
	assert_non_null(strstr(why, "claim.v1.Own/Ready: /docs/x is under /docs/"));
	memcpy(memmem(own.data, own.len, "/docs/x", 7), "/docs_x", 7);
	assert_int_equal(snapshot_publish((struct bytes){digest, 32}, buf_bytes(&own), why, sizeof why), 0);
	fixture_set("page", &page);
	assert_true(snapshot_publish((struct bytes){other, 32}, buf_bytes(&page), why, sizeof why) < 0);
	assert_non_null(strstr(why, "page.v1.Page/Show: /docs is under /docs, which is the gateway's own"));
}

/* What the gateway answers itself is what no schema may take, and no other path is. */
static void test_claimed_are_the_builtins(void **state)
{
	size_t n = 0;

	for (; route_claims_gateway[n] != NULL; n++)
		assert_string_equal(builtin_at(n)->path, route_claims_gateway[n]);
	assert_null(builtin_at(n));
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_replaced_under_load), T(test_refused), T(test_of_files),
		T(test_claims), T(test_fetched_once), T(test_claimed_are_the_builtins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
