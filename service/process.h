/* process.h: child processes: spawned, read, killed and reaped by one thread of
 * its own, which lives as long as the service (PR_SET_PDEATHSIG fires when the
 * thread that forked ends). Each child leads its own process group, has only the
 * fds given to it, default signals and a clean environment; the whole group is
 * killed, and children of a killed service die with it. errand_run (service.h)
 * is built on this. */
#ifndef SERVICE_PROCESS_H
#define SERVICE_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "errand/service.h"

struct process; /* one child; owned by the process thread until on_exit returns */

/* How it ended, and what it used: of the whole tree where it had a cgroup, else as wait4
 * tells it (memory: the largest process; time: the program and what it waited for). */
struct process_end {
	int wait_status;
	bool oom;              /* the kernel killed something of it for memory; never with "rlimit" */
	const char *isolation; /* "cgroup2", "cgroup1", "rlimit" */
	int64_t peak_memory, cpu_ns;
};

/* Borrowed until process_start returns, except arg. Callbacks run on the process
 * thread: they must not block. on_line gets each line of stdout (fd 1), stderr (fd 2)
 * and messages (fd 3) without its newline, at most 64 KiB (longer ones in pieces);
 * on_bytes, when given, gets stdout as it comes instead. on_exit comes last, exactly once,
 * after all pipes have ended or 1 s after the child has. */
struct process_params {
	const char *const *argv, *const *env; /* env NULL: the short list of service.h */
	const char *dir;
	const void *input;      /* stdin, copied into a sealed file of memory; NULL: /dev/null */
	size_t input_len;
	bool wants_messages;    /* fd 3 */
	const struct errand_limits *limits;     /* NULL: none */
	const char *const *read, *const *write; /* as of errand_command: these to the end */
	const char *user, *group;
	int umask;
	void (*on_line)(int fd, const char *line, size_t len, void *arg);
	void (*on_bytes)(const void *data, size_t len, void *arg); /* NULL */
	void (*on_exit)(const struct process_end *end, void *arg);
	void *arg;
};

int process_init(void);   /* starts the thread; negative = -errno */
void process_deinit(void); /* kills and reaps what is left, joins the thread */

/* Any thread; waits for the spawn itself, not for the child. 0, or -errno and on_exit is
 * not called (ENOENT: no such program; EOPNOTSUPP: a limit, rule or user that cannot be
 * had here, logged). */
int process_start(const struct process_params *p, struct process **out);
/* The short list of service.h; NULL-terminated, ours. */
const char *const *process_env(void);
/* Any thread. SIGTERM to the group now, SIGKILL to the whole tree after grace_ns (0: now).
 * Safe until on_exit has been called; the caller sees to that. */
void process_kill(struct process *p, int64_t grace_ns);
pid_t process_pid(const struct process *p);
size_t process_count(void); /* live children */

#endif
