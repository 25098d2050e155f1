/* process.h: child processes: spawned, read, killed and reaped by one thread of
 * its own, which lives as long as the service (PR_SET_PDEATHSIG fires when the
 * thread that forked ends). Each child leads its own process group, has only the
 * fds given to it, default signals and a clean environment; the whole group is
 * killed, and children of a killed service die with it. errand_run (service.h)
 * is built on this. */
#ifndef SERVICE_PROCESS_H
#define SERVICE_PROCESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct process; /* one child; owned by the process thread until on_exit returns */

/* Borrowed until process_start returns, except arg. Callbacks run on the process
 * thread: they must not block. on_line gets each line of stdout (fd 1) and
 * stderr (fd 2) without its newline, at most 64 KiB (longer ones in pieces);
 * on_exit comes last, exactly once, after both pipes have ended or 1 s after the
 * child has. */
struct process_params {
	const char *const *argv, *const *env; /* env NULL: the short list of service.h */
	const char *dir;
	void (*on_line)(int fd, const char *line, size_t len, void *arg);
	void (*on_exit)(int wait_status, void *arg);
	void *arg;
};

int process_init(void);   /* starts the thread; negative = -errno */
void process_deinit(void); /* kills and reaps what is left, joins the thread */

/* Any thread; waits for the spawn itself, not for the child. 0, or -errno (ENOENT:
 * no such program; on_exit is not called then). */
int process_start(const struct process_params *p, struct process **out);
/* Any thread. SIGTERM to the group now, SIGKILL after grace_ns (0: SIGKILL now).
 * Safe until on_exit has been called; the caller sees to that. */
void process_kill(struct process *p, int64_t grace_ns);
pid_t process_pid(const struct process *p);
size_t process_count(void); /* live children */

#endif
