/* rate.h: how often a client may ask: a bucket of `burst` requests that fills with one each `every`. Whose it is says
 * who the client is (auth.h), else where it comes from: an address, of IPv6 its /64, or a user of this machine.
 *
 * All threads share one table of a fixed size. A client that is not in it has a full bucket, as has one that
 * was thrown out; thrown out is who has the fullest. Any thread. */
#ifndef GATEWAY_RATE_H
#define GATEWAY_RATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/http.h"

struct rate {
	int64_t every_ns;
	unsigned burst; /* 0: no limit */
};

struct rate_room {
	unsigned left;   /* requests, now */
	int64_t next_ns; /* until there is one; 0: there is */
	int64_t full_ns; /* until the bucket is full */
};

/* "10/s", "100/m:20", "1000/h" or "off". 0, or -1 with the reason in why. */
int rate_parse(const char *text, struct rate *out, char *why, size_t why_size);

/* Takes one of the bucket of this key, or with `take` false only looks. False: there is none. */
bool rate_take(const struct rate *rate, const void *key, size_t len, int64_t now_ns, bool take,
	       struct rate_room *out);
/* Where r's client is, as a key of at most `size` bytes (16 will do): how long it is. */
size_t rate_place(const char *peer, int64_t uid, uint8_t *key, size_t size);

/* One request of the client with this name (auth_client.name); of "" and "anonymous" the place counts. False: there have
 * been too many, r is answered with 429. */
bool rate_admit(struct http_request *r, const struct rate *rate, const char *name);
/* One more who says to be somebody and is not, by its place. */
bool rate_admit_failure(struct http_request *r, const struct rate *rate);

#endif
