/* service_rig.h: the whole service in a process of its own, with the probe module,
 * and a client of it, for the tests beside this file. */
#ifndef TESTS_SERVICE_RIG_H
#define TESTS_SERVICE_RIG_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/util.h"
#include "errand/client.h"
#include "probe_module.h"

#define MS 1000000LL

extern char dir[64], socket_path[96], log_path[96];
extern pid_t service;
extern struct errand_client *client;

/* Calls that have ended, and how the last one did. */
struct waiter {
	int n, code;
};

void child(const char *const *more, int ready);
void start_with(const char *const *more);
int setup(void **state);
int wait_end(void);
int stop(void);
char *read_log(void);
int teardown(void **state);
bool log_has(const char *text);
struct bytes pack(const Probe__V1__Note *in, uint8_t out[256]);
struct errand_reply *call_with(const char *method, const Probe__V1__Note *in, const struct errand_call_options *options);
struct errand_reply *call(const char *method, const char *text, int number, int ms);
void assert_text(struct errand_reply *r, const char *want);
char *trace(void);
bool trace_has(const char *text);
bool trace_has_times(const char *text, int n);
void assert_error(struct errand_reply *r, int code, const char *word);
void on_reply(const struct errand_reply *r, void *arg);
struct errand_pending *submit(struct errand_client *c, const char *method, int ms, struct waiter *w);
void dispatch_until(struct errand_client *c, struct waiter *w, int n);
int raw_connect(void);
void restart_with(const char *const *more);

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

#endif
