/* envelope.h: the protobuf messages inside Request and Response frames, written
 * and read by hand: they are on every call's way, four and three fields long,
 * and hold the payload, which is then never copied. tests/unit checks them
 * against protobuf-c's reading of proto/errand/wire/v1/ttrpc.proto.
 *
 * Request  {string service=1; string method=2; bytes payload=3;
 *           int64 timeout_nano=4; repeated KeyValue{key=1,value=2} metadata=5}
 * Response {google.rpc.Status status=1 {int32 code=1; string message=2;
 *           repeated Any details=3}; bytes payload=2;
 *           repeated KeyValue metadata=64 (only after Hello)} */
#ifndef WIRE_ENVELOPE_H
#define WIRE_ENVELOPE_H

#include <stdbool.h>
#include <string.h>

#include "base/buf.h"

#define ENVELOPE_METADATA_MAX 64 /* pairs in one message */

struct wire_pair {
	struct bytes key, value;
};

/* Everything borrowed: from the frame when read, from the caller when written. */
struct wire_request {
	struct bytes service, method, payload;
	int64_t timeout_ns; /* 0 = none */
	bool streaming; /* the caller takes several messages: not in the message but a
			 * flag of its frame, set and read by conn.c */
	struct wire_pair metadata[ENVELOPE_METADATA_MAX];
	size_t n_metadata;
};

struct wire_response {
	int code; /* enum errand_code */
	struct bytes message; /* of the status */
	struct bytes details; /* serialized errand.v1.Problem, from the status' details; may be empty */
	struct bytes payload;
	struct wire_pair metadata[ENVELOPE_METADATA_MAX];
	size_t n_metadata;
};

/* 0, or -ERRAND_INVALID_ARGUMENT for what is not such a message (bad UTF-8 in
 * service, method, keys or message included). */
int envelope_read_request(struct bytes in, struct wire_request *out);
int envelope_read_response(struct bytes in, struct wire_response *out);

/* Append the message to b. `metadata` of a response is written only when
 * with_metadata (the peer said Hello). */
void envelope_write_request(struct buf *b, const struct wire_request *r);
void envelope_write_response(struct buf *b, const struct wire_response *r, bool with_metadata);

/* The value of the first pair with this key (exact), or NULL bytes. */
static inline struct bytes wire_pair_get(const struct wire_pair *pairs, size_t n, const char *key)
{
	size_t len = strlen(key);

	for (size_t i = 0; i < n; i++)
		if (pairs[i].key.len == len && memcmp(pairs[i].key.data, key, len) == 0)
			return pairs[i].value;
	return (struct bytes){NULL, 0};
}

/* Adds a pair when there is room; value borrowed. */
static inline void wire_pair_add(struct wire_pair *pairs, size_t *np, const char *key, struct bytes value)
{
	if (*np < ENVELOPE_METADATA_MAX)
		pairs[(*np)++] = (struct wire_pair){{(const uint8_t *)key, strlen(key)}, value};
}

#endif
