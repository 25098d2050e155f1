/* A client and a server conn back to back: what each side sees of calls, streams,
 * credit, cancel, ping and goaway, and that a broken peer (FAULTS 44, 48) costs
 * its own connection and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "errand/status.h"
#include "rig.h"

static void test_unary(void **state)
{
	struct rig r;

	rig_init(&r, NULL, false);
	assert_non_null(rig_call(&r, "C", "hi", false));
	assert_non_null(rig_call(&r, "D", "", false));
	assert_int_equal(rig_run(&r), 0);
	assert_string_equal(rig_events(&r), "server request 1 a.B/C hi\n"
					    "server request 3 a.B/D \n");
	assert_int_equal(conn_n_streams(r.server), 2);
	rig_answer(&r, 1, 0, "two"); /* out of order */
	rig_answer(&r, 0, ERRAND_NOT_FOUND, "");
	assert_int_equal(rig_run(&r), 0);
	/* No metadata: the peer never said Hello. */
	assert_string_equal(rig_events(&r), "client response 3 code=0 two\n"
					    "client response 1 code=5 (no)\n");
	assert_int_equal(conn_n_streams(r.server), 0);
	assert_int_equal(conn_n_streams(r.client), 0);
	rig_deinit(&r);
}

static void test_hello(void **state)
{
	struct rig r;

	rig_init(&r, NULL, false);
	conn_set_hello(r.server, rig_text("\x08\x01"));
	assert_int_equal(conn_hello(r.client, rig_text("")), 0);
	assert_non_null(rig_call(&r, "C", "early", false)); /* without waiting */
	assert_int_equal(rig_run(&r), 0);
	assert_string_equal(rig_events(&r), "server request 3 a.B/C early\n"
					    "client hello 0 \x08\x01\n");
	assert_true(conn_extended(r.client));
	assert_true(conn_extended(r.server));
	rig_answer(&r, 0, 0, "x");
	assert_int_equal(rig_run(&r), 0);
	assert_string_equal(rig_events(&r), "client response 3 code=0 x etag=7\n");
	assert_int_equal(conn_hello(r.client, rig_text("")), -ERRAND_FAILED_PRECONDITION);
	rig_deinit(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unary),
		cmocka_unit_test(test_hello),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
