/* process_rig.h: children of process.h and what came of them, for the tests of
 * processes and cgroups. */
#ifndef TESTS_PROCESS_RIG_H
#define TESTS_PROCESS_RIG_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

#include "base/buf.h"
#include "service/process.h"

#define MIB (1LL << 20)

extern char self_path[4096]; /* of the test program, which plays other roles too */

struct run {
	pthread_mutex_t lock;
	pthread_cond_t change;
	struct buf text[4];     /* lines of fd 1 to 3, each with a newline */
	size_t n_lines[4], n_bytes[4], longest;
	bool keep;              /* text is kept */
	bool ended;
	int n_exits, status;
	struct process_end end;
	struct process *process;
};

#define RUN_INIT {.lock = PTHREAD_MUTEX_INITIALIZER, .change = PTHREAD_COND_INITIALIZER, .keep = true}

void run_line(int fd, const char *line, size_t len, void *arg);
void run_bytes(const void *data, size_t len, void *arg); /* into text[1] */
void run_exit(const struct process_end *end, void *arg);
/* Lines and end of p are set here. */
int run_start_as(struct run *r, struct process_params *p);
int run_start_in(struct run *r, const char *const *argv, const char *dir);
int run_start(struct run *r, const char *const *argv);
void run_shell(struct run *r, const char *script);
void start_limited(struct run *r, const char *const *argv, const struct errand_limits *limits);
void run_wait(struct run *r);
void run_wait_line(struct run *r);
const char *run_text(struct run *r, int fd);
void run_deinit(struct run *r);

bool is_gone(pid_t pid);
void assert_gone_soon(pid_t pid);
size_t count_fds(void);
void assert_no_zombies(void);
/* This process is a reaper too, so what a killed service had, its warden included, has
 * come to us. The one child left is our own warden. */
void reap_adopted(void);

/* This program in another role, its stdout to *outp. */
pid_t run_self(const char *role, int *outp);

/* args[0] milliseconds of a processor's time. */
int rig_spin(char **args);
/* A process that never stays the same: each forks the next, in a session of its own,
 * and ends. It counts in the file at path. */
int rig_runner(const char *path);
/* The runner of that file has been stopped. */
void assert_runner_stops(const char *path);
/* It is under way. */
void assert_runner_runs(const char *path);

/* Threads that allocate and log, until the second. */
void noise_start(void);
void noise_stop(void);

#endif
