/* test_scan.c: what must not reach protobuf-c, and what is merged before it does
 * (FAULTS 69, 70, 73; PITFALLS). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/pbuf.h"
#include "schema/scan.h"
#include "set.h"

struct fixture {
	struct schema *s;
	struct buf in, merged;
	char why[600];
};

static int setup(void **state)
{
	static struct fixture f;

	f = (struct fixture){.s = set_load()};
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	schema_unref(f->s);
	buf_deinit(&f->in);
	buf_deinit(&f->merged);
	return 0;
}

static int scan(struct fixture *f, const char *message, const struct scan_limits *limits)
{
	buf_reset(&f->merged);
	f->why[0] = '\0';
	return scan_message(set_message(f->s, message), buf_bytes(&f->in), limits, &f->merged, f->why,
			    sizeof f->why);
}

static void fine(struct fixture *f, const char *message, const char *hex)
{
	buf_reset(&f->in);
	set_unhex(hex, &f->in);
	if (scan(f, message, NULL) < 0)
		fail_msg("%s: %s", hex, f->why);
	assert_int_equal(f->merged.len, 0);
}

static void merged(struct fixture *f, const char *message, const char *hex, const char *want_hex)
{
	AUTO_BUF want = BUF_INIT;

	buf_reset(&f->in);
	set_unhex(hex, &f->in);
	set_unhex(want_hex, &want);
	if (scan(f, message, NULL) < 0)
		fail_msg("%s: %s", hex, f->why);
	assert_int_equal(f->merged.len, want.len);
	assert_memory_equal(f->merged.data, want.data, want.len);
	/* and that needs nothing more */
	buf_reset(&f->in);
	buf_append(&f->in, want.data, want.len);
	assert_int_equal(scan(f, message, NULL), 0);
	assert_int_equal(f->merged.len, 0);
}

static void refused(struct fixture *f, const char *message, const char *hex, const char *reason)
{
	buf_reset(&f->in);
	set_unhex(hex, &f->in);
	assert_int_equal(scan(f, message, NULL), -ERRAND_INVALID_ARGUMENT);
	if (strstr(f->why, reason) == NULL)
		fail_msg("%s: \"%s\" is not in \"%s\"", hex, reason, f->why);
}

/* Nested in child `depth` times. */
static void nest(struct buf *out, unsigned depth)
{
	AUTO_BUF inner = BUF_INIT;

	buf_reset(out);
	for (unsigned i = 0; i < depth; i++) {
		buf_reset(&inner);
		buf_append(&inner, out->data, out->len);
		buf_reset(out);
		pbuf_put_bytes(out, 2, inner.data, inner.len);
	}
}

static void test_depth(void **state)
{
	struct fixture *f = *state;

	nest(&f->in, 99);
	assert_int_equal(scan(f, "Nested", NULL), 0);
	nest(&f->in, 100);
	assert_int_equal(scan(f, "Nested", NULL), -ERRAND_INVALID_ARGUMENT);
	assert_non_null(strstr(f->why, "nested over 100"));
	nest(&f->in, 9000);
	assert_int_equal(scan(f, "Nested", NULL), -ERRAND_INVALID_ARGUMENT);
	assert_int_equal(scan(f, "Nested", &(struct scan_limits){.max_depth = 3}), -ERRAND_INVALID_ARGUMENT);
}

/* 9,000 groups in one another, closed or not, known or not. */
static void test_group_depth(void **state)
{
	struct fixture *f = *state;

	buf_reset(&f->in);
	for (int i = 0; i < 9000; i++)
		buf_append_byte(&f->in, 0x23);
	for (int i = 0; i < 9000; i++)
		buf_append_byte(&f->in, 0x24);
	assert_int_equal(scan(f, "Old", NULL), -ERRAND_INVALID_ARGUMENT);
	assert_int_equal(scan(f, "Nested", NULL), -ERRAND_INVALID_ARGUMENT);
}

static void test_text(void **state)
{
	struct fixture *f = *state;

	fine(f, "Scalars", "7206e4b8ade4b8ad");
	refused(f, "Scalars", "7201ff", "field f_string: the string is not UTF-8");
	refused(f, "Scalars", "72036100 62", "field f_string: the string has a NUL");
	refused(f, "Nested", "12051203 0a01c3", "field child.child.name");
	refused(f, "Maps", "0a060a01ff120161", "field m_string.key: the string is not UTF-8");
	/* bytes may be anything */
	fine(f, "Scalars", "7a03ff0061");
}

static void test_malformed(void **state)
{
	struct fixture *f = *state;

	fine(f, "Scalars", "");
	refused(f, "Scalars", "08", "not a golden.v1.Scalars");
	refused(f, "Scalars", "7205 61", "not a golden.v1.Scalars");
	refused(f, "Nested", "1202 0a05", "field child: the bytes are not a golden.v1.Nested");
	refused(f, "Lists", "0a0180", "field r_int32: a packed list is malformed");
	refused(f, "Lists", "5203010000", "field r_fixed32: a packed list is malformed");
}

static void test_merging(void **state)
{
	struct fixture *f = *state;

	fine(f, "Nested", "12022005 1a022001 1a022002");
	fine(f, "Scalars", "1801 1802");
	fine(f, "Oneofs", "0801 120178");
	/* a singular message twice, at two levels */
	merged(f, "Nested", "12022005 12030a0178", "1205 0a0178 2005");
	merged(f, "Nested", "120412022005 120512030a0178", "1207 1205 0a0178 2005");
	/* a oneof message twice; another member between ends the first */
	merged(f, "Oneofs", "1a022005 1a030a0178", "1a05 0a0178 2005");
	merged(f, "Oneofs", "1a022005 0801 1a030a0178", "1a03 0a0178");
	/* inside a list and inside a map */
	merged(f, "Nested", "1a09 12022005 12030a0178", "1a07 1205 0a0178 2005");
	merged(f, "Maps", "1a0b 0805 12022001 12030a0178", "1a09 0805 1205 0a0178 2001");
	/* order and repeats of the rest are kept */
	merged(f, "Nested", "1a022001 12022005 1a022002 12022006", "12022006 1a022001 1a022002");
}

static void test_unknown(void **state)
{
	struct fixture *f = *state;

	fine(f, "Scalars", "a00601 1805");
	/* protobuf-c refuses groups and wrong wire types: they are unknown fields */
	merged(f, "Scalars", "a306a80601a406 1805", "1805");
	merged(f, "Scalars", "1a0161 1805", "1805");
}

static void test_budgets(void **state)
{
	struct fixture *f = *state;
	struct scan_limits few = {.max_elements = 10}, small = {.max_heap = 4096};

	/* a megabyte of {} in a list of messages: each is 2 bytes here, 100 unpacked */
	buf_reset(&f->in);
	for (int i = 0; i < 500000; i++)
		buf_append(&f->in, "\x1a\x00", 2);
	assert_int_equal(scan(f, "Nested", &(struct scan_limits){.max_heap = 32 << 20}),
			 -ERRAND_RESOURCE_EXHAUSTED);
	assert_non_null(strstr(f->why, "field children: would take too much memory"));
	for (int i = 0; i < 500001; i++)
		buf_append(&f->in, "\x1a\x00", 2);
	assert_int_equal(scan(f, "Nested", &(struct scan_limits){.max_heap = SIZE_MAX}),
			 -ERRAND_RESOURCE_EXHAUSTED);
	assert_non_null(strstr(f->why, "too many elements"));
	/* unknown fields cost too */
	buf_reset(&f->in);
	for (int i = 0; i < 200; i++)
		buf_append(&f->in, "\xa0\x06\x01", 3);
	assert_int_equal(scan(f, "Nested", &small), -ERRAND_RESOURCE_EXHAUSTED);
	/* and packed elements */
	buf_reset(&f->in);
	set_unhex("0a0b 0102030405060708090a0b", &f->in);
	assert_int_equal(scan(f, "Lists", &few), -ERRAND_RESOURCE_EXHAUSTED);
	buf_reset(&f->in);
	set_unhex("0a0a 0102030405060708090a", &f->in);
	assert_int_equal(scan(f, "Lists", &few), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_depth, setup, teardown),
		cmocka_unit_test_setup_teardown(test_group_depth, setup, teardown),
		cmocka_unit_test_setup_teardown(test_text, setup, teardown),
		cmocka_unit_test_setup_teardown(test_malformed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_merging, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unknown, setup, teardown),
		cmocka_unit_test_setup_teardown(test_budgets, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
