/* The hand-written envelopes against protobuf-c's reading and writing of
 * proto/errand/wire/v1/ttrpc.proto, and against what no peer should send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "errand/status.h"
#include "proto/errand/wire/v1/ttrpc.pb-c.h"
#include "wire/envelope.h"

typedef Errand__Wire__V1__Request Request;
typedef Errand__Wire__V1__Response Response;
typedef Errand__Wire__V1__KeyValue KeyValue;
typedef Errand__Wire__V1__Status Status;
typedef Errand__Wire__V1__StatusDetail Detail;

static struct bytes text(const char *s)
{
	return (struct bytes){(const uint8_t *)s, strlen(s)};
}

static void same(struct bytes b, const void *data, size_t len)
{
	assert_int_equal(b.len, len);
	if (len > 0)
		assert_memory_equal(b.data, data, len);
}

static void test_write_request(void **state)
{
	static const int64_t timeouts[] = {0, 1, 5000000000, INT64_MAX, -1};
	AUTO_BUF b = BUF_INIT;

	for (size_t i = 0; i < ARRAY_LEN(timeouts); i++) {
		struct wire_request r = {.service = text("shop.v1.Shop"), .method = text("GetItem"),
					 .payload = {(const uint8_t *)"a\0b", 3},
					 .timeout_ns = timeouts[i]};
		Request *m;

		wire_pair_add(r.metadata, &r.n_metadata, "errand-task", text("accept"));
		wire_pair_add(r.metadata, &r.n_metadata, "empty", text(""));
		buf_reset(&b);
		envelope_write_request(&b, &r);
		m = errand__wire__v1__request__unpack(NULL, b.len, b.data);
		assert_non_null(m);
		assert_string_equal(m->service, "shop.v1.Shop");
		assert_string_equal(m->method, "GetItem");
		same(r.payload, m->payload.data, m->payload.len);
		assert_true(m->timeout_nano == timeouts[i]);
		assert_int_equal(m->n_metadata, 2);
		assert_string_equal(m->metadata[0]->key, "errand-task");
		assert_string_equal(m->metadata[0]->value, "accept");
		assert_string_equal(m->metadata[1]->value, "");
		/* The same bytes protobuf-c writes. */
		assert_int_equal(errand__wire__v1__request__get_packed_size(m), b.len);
		errand__wire__v1__request__free_unpacked(m, NULL);
	}
}

static void test_read_request(void **state)
{
	KeyValue kv[2] = {ERRAND__WIRE__V1__KEY_VALUE__INIT, ERRAND__WIRE__V1__KEY_VALUE__INIT};
	KeyValue *pairs[] = {&kv[0], &kv[1]};
	Request m = ERRAND__WIRE__V1__REQUEST__INIT;
	static struct wire_request r;
	uint8_t raw[256];
	size_t len;

	kv[0].key = (char *)"traceparent";
	kv[0].value = (char *)"00-1-2";
	kv[1].key = (char *)"a";
	m.service = (char *)"s\xc3\xa9rvice";
	m.method = (char *)"M";
	m.payload.data = (uint8_t *)"payload";
	m.payload.len = 7;
	m.timeout_nano = -5;
	m.metadata = pairs;
	m.n_metadata = 2;
	len = errand__wire__v1__request__pack(&m, raw);
	memset(&r, 0xee, sizeof r); /* what is not there must be emptied */
	assert_int_equal(envelope_read_request((struct bytes){raw, len}, &r), 0);
	same(r.service, "s\xc3\xa9rvice", 8);
	same(r.method, "M", 1);
	same(r.payload, "payload", 7);
	assert_true(r.payload.data > raw && r.payload.data < raw + len); /* not copied */
	assert_int_equal(r.timeout_ns, -5);
	assert_int_equal(r.n_metadata, 2);
	same(wire_pair_get(r.metadata, r.n_metadata, "traceparent"), "00-1-2", 6);
	assert_null(wire_pair_get(r.metadata, r.n_metadata, "trace").data);
	memset(&r, 0xee, sizeof r);
	assert_int_equal(envelope_read_request((struct bytes){NULL, 0}, &r), 0);
	assert_int_equal(r.service.len + r.payload.len + r.n_metadata, 0);
	assert_int_equal(r.timeout_ns, 0);
	assert_false(r.streaming);
}

static void check_response(int code, const char *message, const char *details)
{
	struct wire_response r = {.code = code, .message = text(message), .details = text(details),
				  .payload = text("out")}, back;
	AUTO_BUF b = BUF_INIT;
	Response *m;

	wire_pair_add(r.metadata, &r.n_metadata, "etag", text("\"1\""));
	for (int with = 0; with < 2; with++) {
		buf_reset(&b);
		envelope_write_response(&b, &r, with);
		m = errand__wire__v1__response__unpack(NULL, b.len, b.data);
		assert_non_null(m);
		assert_non_null(m->status);
		assert_int_equal(m->status->code, code);
		assert_string_equal(m->status->message, message);
		assert_int_equal(m->status->n_details, details[0] ? 1 : 0);
		if (details[0] != '\0') {
			assert_string_equal(m->status->details[0]->type_url,
					    "type.googleapis.com/errand.v1.Problem");
			same(r.details, m->status->details[0]->value.data,
			     m->status->details[0]->value.len);
		}
		same(r.payload, m->payload.data, m->payload.len);
		assert_int_equal(m->n_metadata, with);
		assert_int_equal(errand__wire__v1__response__get_packed_size(m), b.len);
		errand__wire__v1__response__free_unpacked(m, NULL);
	}
	memset(&back, 0xee, sizeof back);
	assert_int_equal(envelope_read_response(buf_bytes(&b), &back), 0);
	assert_int_equal(back.code, code);
	same(back.message, message, strlen(message));
	same(back.details, details, strlen(details));
	same(wire_pair_get(back.metadata, back.n_metadata, "etag"), "\"1\"", 3);
}

static void test_response(void **state)
{
	check_response(0, "", "");
	check_response(ERRAND_NOT_FOUND, "no such item: 7", "");
	check_response(ERRAND_INVALID_ARGUMENT, "", "problem bytes");
	check_response(-1, "a code of ten bytes", "x");
	check_response(INT32_MAX, "", "");
}

/* Somebody else's details are passed over; a Response without status is an OK. */
static void test_foreign_details(void **state)
{
	Detail other = ERRAND__WIRE__V1__STATUS_DETAIL__INIT;
	Detail *details[] = {&other};
	Status st = ERRAND__WIRE__V1__STATUS__INIT;
	Response m = ERRAND__WIRE__V1__RESPONSE__INIT;
	static struct wire_response r;
	uint8_t raw[256];
	size_t len;

	other.type_url = (char *)"type.googleapis.com/google.rpc.ErrorInfo";
	other.value.data = (uint8_t *)"zzz";
	other.value.len = 3;
	st.code = 7;
	st.details = details;
	st.n_details = 1;
	m.status = &st;
	len = errand__wire__v1__response__pack(&m, raw);
	assert_int_equal(envelope_read_response((struct bytes){raw, len}, &r), 0);
	assert_int_equal(r.code, 7);
	assert_int_equal(r.details.len, 0);
	assert_int_equal(envelope_read_response(text("\x12\x01x"), &r), 0);
	assert_int_equal(r.code, 0);
	same(r.payload, "x", 1);
}

/* A status that comes in two pieces is merged, as protobuf says. */
static void test_merged_status(void **state)
{
	static struct wire_response r;

	assert_int_equal(envelope_read_response(text("\x0a\x02\x08\x05\x0a\x03\x12\x01m"), &r), 0);
	assert_int_equal(r.code, 5);
	same(r.message, "m", 1);
}

#define BYTES(s) {(const uint8_t *)(s), sizeof(s) - 1}

static void test_bad(void **state)
{
	static const struct bytes requests[] = {
		BYTES("\xff"),                 /* half a tag */
		BYTES("\x0a\x05" "abc"),       /* length over the end */
		BYTES("\x0a\x02\xc3\x28"),     /* service is not UTF-8 */
		BYTES("\x12\x01\xff"),         /* method is not UTF-8 */
		BYTES("\x08\x01"),             /* service as a varint */
		BYTES("\x22\x01x"),            /* timeout as bytes */
		BYTES("\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), /* varint over 64 bits */
		BYTES("\x2a\x03\x0a\x01\xff"), /* key is not UTF-8 */
		BYTES("\x2a\x03\x0a\x05x"),    /* pair broken inside */
		BYTES("\x02\x00"),             /* field number 0 */
		BYTES("\x33\x08\x01"),         /* group without an end */
		BYTES("\x34"),                 /* end of no group */
		BYTES("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), /* length 2^64 - 1 */
	};
	static const struct bytes responses[] = {
		BYTES("\x08\x01"),                     /* status as a varint */
		BYTES("\x0a\x03\x12\x01\xff"),         /* message is not UTF-8 */
		BYTES("\x0a\x02\x0a\x00"),             /* code as bytes */
		BYTES("\x0a\x03\x1a\x01\xff"),         /* detail broken inside */
		BYTES("\x82\x04\x03\x0a\x01\xff"),     /* key is not UTF-8 */
	};
	static struct wire_response p;
	static struct wire_request r;

	for (size_t i = 0; i < ARRAY_LEN(requests); i++)
		if (envelope_read_request(requests[i], &r) != -ERRAND_INVALID_ARGUMENT)
			fail_msg("request %zu was taken", i);
	for (size_t i = 0; i < ARRAY_LEN(responses); i++)
		if (envelope_read_response(responses[i], &p) != -ERRAND_INVALID_ARGUMENT)
			fail_msg("response %zu was taken", i);
	/* Fields of a later version are no fault, whatever their type. */
	assert_int_equal(envelope_read_request(text("\x30\x07\x3a\x01x\x43\x08\x01\x44"), &r), 0);
}

static void test_too_many_pairs(void **state)
{
	AUTO_BUF b = BUF_INIT;
	static struct wire_request r;

	for (int i = 0; i < ENVELOPE_METADATA_MAX; i++)
		buf_append(&b, "\x2a\x03\x0a\x01k", 5);
	assert_int_equal(envelope_read_request(buf_bytes(&b), &r), 0);
	assert_int_equal(r.n_metadata, ENVELOPE_METADATA_MAX);
	wire_pair_add(r.metadata, &r.n_metadata, "one", text("more"));
	assert_int_equal(r.n_metadata, ENVELOPE_METADATA_MAX);
	buf_append(&b, "\x2a\x03\x0a\x01k", 5);
	assert_int_equal(envelope_read_request(buf_bytes(&b), &r), -ERRAND_INVALID_ARGUMENT);
}

/* Whatever both take, both read alike; cut and changed messages included. */
static void test_alike(void **state)
{
	static const uint8_t good[] = "\x0a\x03svc\x12\x01m\x1a\x04" "data\x20\xe8\x07"
				      "\x2a\x06\x0a\x01k\x12\x01v";
	static struct wire_request r;
	uint8_t raw[sizeof good - 1];

	for (size_t pos = 0; pos < sizeof raw; pos++) {
		for (int v = 0; v < 256; v++) {
			Request *m;

			memcpy(raw, good, sizeof raw);
			raw[pos] = (uint8_t)v;
			if (envelope_read_request((struct bytes){raw, sizeof raw}, &r) < 0)
				continue;
			m = errand__wire__v1__request__unpack(NULL, sizeof raw, raw);
			if (m == NULL)
				continue;
			same(r.payload, m->payload.data, m->payload.len);
			assert_true(r.timeout_ns == m->timeout_nano);
			assert_int_equal(r.n_metadata, m->n_metadata);
			if (memchr(r.service.data ? r.service.data : raw, 0, r.service.len) == NULL)
				same(r.service, m->service, strlen(m->service));
			errand__wire__v1__request__free_unpacked(m, NULL);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_write_request),
		cmocka_unit_test(test_read_request),
		cmocka_unit_test(test_response),
		cmocka_unit_test(test_foreign_details),
		cmocka_unit_test(test_merged_status),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_too_many_pairs),
		cmocka_unit_test(test_alike),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
