/* The newest schema with its routes. Building happens outside the lock that
 * readers take, under one that lets only one thread build, since all threads hear
 * of a new schema at the same time. */
#define _GNU_SOURCE
#include "gateway/snapshot.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/err.h"
#include "base/log.h"
#include "base/map.h"
#include "schema/route_claims.h"

static pthread_mutex_t build_lock = PTHREAD_MUTEX_INITIALIZER; /* one builder at a time */
static pthread_mutex_t newest_lock = PTHREAD_MUTEX_INITIALIZER; /* guards `newest` */
static struct snapshot *newest;                                 /* holds a reference */
static uint8_t claimed[32];                                     /* somebody fetches it; under newest_lock */
static _Atomic uint64_t generation;                             /* of newest; 0 = none */
static _Atomic uint64_t n_refused;

struct snapshot *snapshot_ref(struct snapshot *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

struct snapshot *snapshot_unref(struct snapshot *s)
{
	if (s == NULL || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return NULL;
	route_table_free(s->routes);
	schema_unref(s->schema);
	free(atomic_load(&s->openapi[0]));
	free(atomic_load(&s->openapi[1]));
	free(s);
	return NULL;
}

struct snapshot *snapshot_get(void)
{
	struct snapshot *s;

	pthread_mutex_lock(&newest_lock);
	s = newest != NULL ? snapshot_ref(newest) : NULL;
	pthread_mutex_unlock(&newest_lock);
	return s;
}

void snapshot_refresh(struct snapshot **held)
{
	uint64_t g = atomic_load_explicit(&generation, memory_order_acquire);

	if (*held != NULL ? (*held)->generation == g : g == 0)
		return;
	snapshot_unref(*held);
	*held = snapshot_get();
}

bool snapshot_is_current(struct bytes digest)
{
	bool same;

	pthread_mutex_lock(&newest_lock);
	same = newest != NULL && !newest->of_file && digest.len == sizeof newest->digest &&
		memcmp(newest->digest, digest.data, digest.len) == 0;
	pthread_mutex_unlock(&newest_lock);
	return same;
}

bool snapshot_claim(struct bytes digest)
{
	bool mine;

	if (digest.len != sizeof claimed || snapshot_is_current(digest))
		return false;
	pthread_mutex_lock(&newest_lock);
	mine = memcmp(claimed, digest.data, sizeof claimed) != 0;
	memcpy(claimed, digest.data, sizeof claimed);
	pthread_mutex_unlock(&newest_lock);
	return mine;
}

void snapshot_unclaim(void)
{
	pthread_mutex_lock(&newest_lock);
	memset(claimed, 0, sizeof claimed);
	pthread_mutex_unlock(&newest_lock);
}

/* Puts s (taken) in the place of the newest. */
static void snapshot_install(struct snapshot *s)
{
	struct snapshot *old;

	pthread_mutex_lock(&newest_lock);
	old = newest;
	s->generation = atomic_load_explicit(&generation, memory_order_relaxed) + 1;
	newest = s;
	atomic_store_explicit(&generation, s->generation, memory_order_release);
	pthread_mutex_unlock(&newest_lock);
	snapshot_unref(old);
}

static int snapshot_build(struct bytes digest, struct bytes set, struct snapshot **out, char *why,
			  size_t why_size)
{
	struct snapshot *s = xcalloc(1, sizeof *s);

	atomic_init(&s->refs, 1);
	atomic_init(&s->openapi[0], NULL);
	atomic_init(&s->openapi[1], NULL);
	if (digest.len == sizeof s->digest)
		memcpy(s->digest, digest.data, digest.len);
	else /* of a file: entity tags hang on it */
		memcpy(s->digest, &(uint64_t){map_hash_keyed((uint64_t[2]){0}, set.data, set.len)}, 8);
	if (schema_load(set.data, set.len, &s->schema, why, why_size) < 0 ||
	    route_table_new(s->schema, &s->routes, why, why_size) < 0 ||
	    route_claims_check(s->routes, why, why_size) < 0) {
		snapshot_unref(s);
		return -ERRAND_INVALID_ARGUMENT;
	}
	s->problem = schema_message(s->schema, "errand.v1.Problem", strlen("errand.v1.Problem"));
	*out = s;
	return 0;
}

static void snapshot_log_refusal(const char *why)
{
	AUTO_BUF quoted = BUF_INIT;

	atomic_fetch_add(&n_refused, 1);
	log_quote(&quoted, why, strlen(why));
	log_error(atomic_load(&generation) > 0 ? "schema refused, the one before stays in use" : "schema refused",
		  "why=%s", buf_cstr(&quoted));
}

/* With the build lock held. */
static int snapshot_replace(struct bytes digest, struct bytes set, bool of_file, char *why, size_t why_size)
{
	struct snapshot *s;
	int r = snapshot_build(digest, set, &s, why, why_size);

	if (r < 0) {
		snapshot_log_refusal(why);
		return r;
	}
	s->of_file = of_file;
	log_info("schema in use", "services=%zu bytes=%zu generation=%llu", schema_n_services(s->schema),
		 set.len, (unsigned long long)atomic_load(&generation) + 1);
	snapshot_install(s);
	return 0;
}

int snapshot_publish(struct bytes digest, struct bytes set, char *why, size_t why_size)
{
	int r = 0;

	pthread_mutex_lock(&build_lock);
	if (!snapshot_is_current(digest))
		r = snapshot_replace(digest, set, false, why, why_size);
	pthread_mutex_unlock(&build_lock);
	snapshot_unclaim();
	return r;
}

static bool snapshot_of_service(void)
{
	struct snapshot *s = snapshot_get();
	bool yes = s != NULL && !s->of_file;

	snapshot_unref(s);
	return yes;
}

int snapshot_publish_file(struct bytes set, char *why, size_t why_size)
{
	int r = -ERRAND_FAILED_PRECONDITION;

	pthread_mutex_lock(&build_lock);
	if (snapshot_of_service()) {
		snprintf(why, why_size, "the service has given one of its own");
		snapshot_log_refusal(why);
	} else { /* no digest: never taken for that of a service */
		r = snapshot_replace((struct bytes){NULL, 0}, set, true, why, why_size);
	}
	pthread_mutex_unlock(&build_lock);
	return r;
}

uint64_t snapshot_generation(void)
{
	return atomic_load_explicit(&generation, memory_order_acquire);
}

uint64_t snapshot_n_refused(void)
{
	return atomic_load(&n_refused);
}

void snapshot_deinit(void)
{
	pthread_mutex_lock(&newest_lock);
	newest = snapshot_unref(newest);
	atomic_store(&generation, 0);
	pthread_mutex_unlock(&newest_lock);
}
