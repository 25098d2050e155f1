/* test_impl.h: what the files of the test harness (errand/test.h) share: test.c, its life,
 * clock and log; test_call.c; test_task.c; test_result.c. */
#ifndef SERVICE_TEST_IMPL_H
#define SERVICE_TEST_IMPL_H

#include <stdbool.h>

#include "base/buf.h"
#include "errand/test.h"
#include "service/call.h"
#include "service/registry.h"

/* Aborts when nothing is started; forgets the last error. */
void test_enter(const char *function);
/* Sets the last error. Gives code. */
int test_refuse(int code, const char *fmt, ...) PRINTF(2, 3);

/* Runs the loop until nothing is under way on any thread. */
void test_settle(void);
/* That, moving the clock from one thing that is due to the next, while is_over() is false.
 * until(): the moment (clock_mono_ns) it is not to be moved beyond. False: there is nothing
 * more to come until then. */
bool test_wait(bool (*is_over)(void *arg), int64_t (*until)(void *arg), void *arg);

/* With room for what a call may tell. */
struct test_result {
	struct errand_test_result r;
	struct buf bytes, log;
	char *message, *task_id, *progress_message; /* owned */
	struct errand_test_fault *faults;
	ProtobufCMessage **messages;
	struct answer_pair *metadata;
	size_t n_metadata;
};
struct test_result *test_result_new(int code, const char *message);
/* problem: a serialized errand.v1.Problem; what it says replaces the message. */
void test_result_fail(struct test_result *t, int code, const char *message, struct bytes problem);
/* The answer: unpacked where m has a type in C. */
void test_result_output(struct test_result *t, const struct method *m, struct bytes output);
void test_result_message(struct test_result *t, const struct method *m, struct bytes message);

/* The method by name, and its input packed and checked. 0, or a code with the last error
 * set; problem: of the rules that were broken. */
int test_input(const char *method, const ProtobufCMessage *input, const struct method **out,
	       struct buf *packed, struct buf *problem);
/* A durable call. */
struct errand_test_result *test_task_call(const struct method *m, struct bytes input,
					  const struct errand_test_call_options *o);

#endif
