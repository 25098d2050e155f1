/* rate.c: see rate.h. A bucket is one number, the time at which it will be full (GCRA): one request moves it by
 * `every`, and it may be `burst` of these ahead. Idle ones are in the past, so nothing has to clear them away.
 *
 * The table: keys are hashed with a secret (map_hash) to a set of WAYS buckets, so that nobody can choose whom
 * to throw out, and the fullest goes first, so that those who ask much stay. */
#define _GNU_SOURCE
#include "gateway/rate.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/ratelimit.h"
#include "base/util.h"
#include "errand/status.h"
#include "gateway/problem.h"

enum { WAYS = 8, N_SETS = 4096, N_LOCKS = 64, N_MAX = 1000000 };

struct bucket {
	uint64_t key;    /* hash; 0: nobody's */
	int64_t full_at; /* clock_mono_ns */
};

static struct bucket table[N_SETS][WAYS]; /* pages nobody has touched cost nothing */
static pthread_mutex_t locks[N_LOCKS] = {[0 ... N_LOCKS - 1] = PTHREAD_MUTEX_INITIALIZER}; /* each guards its sets */

/* --- what was asked for --- */

static bool parse_number(const char **text, unsigned *out)
{
	unsigned long n;
	char *end;

	if (**text < '0' || **text > '9')
		return false;
	n = strtoul(*text, &end, 10);
	*text = end;
	*out = (unsigned)n;
	return n >= 1 && n <= N_MAX;
}

static int64_t parse_unit(char unit)
{
	switch (unit) {
	case 's':
		return NS_PER_S;
	case 'm':
		return 60 * NS_PER_S;
	case 'h':
		return 3600 * NS_PER_S;
	default:
		return 0;
	}
}

int rate_parse(const char *text, struct rate *out, char *why, size_t why_size)
{
	const char *p = text;
	unsigned n = 0;
	int64_t unit = 0;

	*out = (struct rate){0};
	if (strcmp(text, "off") == 0)
		return 0;
	if (parse_number(&p, &n) && *p++ == '/')
		unit = parse_unit(*p);
	if (unit != 0) {
		*out = (struct rate){unit / n, n};
		p++;
		if (*p == '\0' || (*p++ == ':' && parse_number(&p, &out->burst) && *p == '\0'))
			return 0;
	}
	*out = (struct rate){0};
	snprintf(why, why_size, "%.60s: write N/s, N/m or N/h with N from 1 to %d, with :BURST when more or fewer "
		 "may come at once, as 10/s or 600/m:50; or off", text, N_MAX);
	return -1;
}

/* --- the buckets --- */

/* With the set's lock. */
static struct bucket *bucket_of(struct bucket set[WAYS], uint64_t key)
{
	struct bucket *fullest = &set[0];

	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].key == key)
			return &set[i];
		if (set[i].full_at < fullest->full_at)
			fullest = &set[i];
	}
	*fullest = (struct bucket){.key = key};
	return fullest;
}

bool rate_take(const struct rate *rate, const void *key, size_t len, int64_t now_ns, bool take,
	       struct rate_room *out)
{
	const int64_t all_ns = rate->every_ns * rate->burst;
	uint64_t hash = map_hash(key, len) | 1;
	size_t set = (hash >> 1) % N_SETS;
	struct bucket *b;
	int64_t full_ns;
	bool good;

	pthread_mutex_lock(&locks[set % N_LOCKS]);
	b = bucket_of(table[set], hash);
	full_ns = MIN(MAX(b->full_at - now_ns, 0), all_ns); /* less than it was, after a reload */
	good = full_ns + rate->every_ns <= all_ns;
	if (good && take)
		full_ns += rate->every_ns;
	b->full_at = now_ns + full_ns;
	pthread_mutex_unlock(&locks[set % N_LOCKS]);
	out->left = (unsigned)((all_ns - full_ns) / rate->every_ns);
	out->next_ns = out->left > 0 ? 0 : full_ns + rate->every_ns - all_ns;
	out->full_ns = full_ns;
	return good;
}

/* --- clients --- */

/* "10.0.0.1:81", "[fe80::1%2]:81": 4 bytes, or the first 8. */
static size_t place_address(const char *peer, uint8_t *key)
{
	char text[INET6_ADDRSTRLEN];
	const char *end = strrchr(peer, ':');
	struct in6_addr six;

	if (*peer == '[')
		end = strpbrk(++peer, "%]");
	if (end == NULL)
		return 0;
	snprintf(text, sizeof text, "%.*s", (int)(end - peer), peer);
	if (inet_pton(AF_INET, text, key) == 1)
		return 4;
	if (inet_pton(AF_INET6, text, &six) != 1)
		return 0;
	if (IN6_IS_ADDR_V4MAPPED(&six)) {
		memcpy(key, six.s6_addr + 12, 4);
		return 4;
	}
	memcpy(key, six.s6_addr, 8);
	return 8;
}

size_t rate_place(const char *peer, int64_t uid, uint8_t *key, size_t size)
{
	if (size < 1 + sizeof uid)
		return 0;
	key[0] = uid < 0 ? 'a' : 'u';
	if (uid < 0)
		return 1 + place_address(peer, key + 1);
	memcpy(key + 1, &uid, sizeof uid);
	return 1 + sizeof uid;
}

/* --- the answers --- */

static uint64_t seconds(int64_t ns)
{
	return (uint64_t)((ns + NS_PER_S - 1) / NS_PER_S);
}

static void tell(struct http_request *r, const struct rate *rate, const struct rate_room *room)
{
	struct ratelimit l;
	char window[32];

	snprintf(window, sizeof window, "w=%llu", (unsigned long long)seconds(rate->every_ns * rate->burst));
	ratelimit_write(&l, "client", room->left, seconds(room->full_ns), rate->burst, window);
	http_set_header(r, "RateLimit", l.limit);
	http_set_header(r, "RateLimit-Policy", l.policy);
}

static bool refuse(struct http_request *r, const struct rate_room *room, const char *what)
{
	problem_reply_later(r, 429, ERRAND_RESOURCE_EXHAUSTED, seconds(room->next_ns), what);
	return false;
}

bool rate_admit(struct http_request *r, const struct rate *rate, const char *name)
{
	bool by_place = *name == '\0' || strcmp(name, "anonymous") == 0, good;
	uint8_t place[16];
	struct rate_room room;
	const void *key = name;
	size_t len = strlen(name);

	if (rate->burst == 0)
		return true;
	if (by_place) {
		key = place;
		len = rate_place(http_peer(r), http_peer_uid(r), place, sizeof place);
	}
	/* one that waits for its body comes again with it */
	good = rate_take(rate, key, len, clock_mono_ns(), !http_awaits_body(r), &room);
	tell(r, rate, &room);
	return good || refuse(r, &room, by_place ? "too many requests from this address" :
			      "too many requests of this client");
}

bool rate_admit_failure(struct http_request *r, const struct rate *rate)
{
	uint8_t key[16] = {'f'};
	struct rate_room room;
	size_t len;

	if (rate->burst == 0)
		return true;
	len = 1 + rate_place(http_peer(r), http_peer_uid(r), key + 1, sizeof key - 1);
	return rate_take(rate, key, len, clock_mono_ns(), true, &room) ||
	       refuse(r, &room, "too many requests with wrong credentials from this address");
}
