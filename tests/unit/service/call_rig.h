/* call_rig.h: the source of the calls under test, over the real loop, pools and registry with
 * the probe module's methods (probe_module.c). Thread: main, as the loop. */
#ifndef TESTS_CALL_RIG_H
#define TESTS_CALL_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "probe_module.h"
#include "service/call.h"
#include "service/pool.h"

extern struct pool *sync_pool;
extern struct errand_call *current; /* as call_start gave it */
extern struct answer got;           /* what came last */
extern int n_answers, n_messages, window, want_answers;
extern bool hold;                   /* the call when it is answered */
extern const struct call_source source;

int setup_all(void **state);
int teardown_all(void **state);
int setup(void **state);
int teardown(void **state); /* no call may be left */
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

/* --- calls of probe.v1.Probe --- */

struct call_params params(const char *method, struct bytes payload);
struct errand_call *start_with(const char *name, const Probe__V1__Note *in, int64_t timeout_ms);
struct errand_call *start(const char *name, const char *text, int number, int ms);

/* --- running the loop --- */

void run(void); /* until want_answers have come; fails after five seconds */
/* For a little, for what must not happen or happens after. */
void run_ms(int ms);
/* Until all calls are DONE: what comes after the answer has come. */
void settle(void);

/* --- what came --- */

void assert_text(const char *want);
void assert_trace(const char *want);

#endif
