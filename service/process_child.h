/* process_child.h: one child of process.c: its pipes, its cgroup, what it is told to
 * end with, and what it ended with. Process thread, but for what is said to be under
 * process.c's lock. */
#ifndef SERVICE_PROCESS_CHILD_H
#define SERVICE_PROCESS_CHILD_H

#include "base/list.h"
#include "service/process.h"
#include "service/process_output.h"
#include "service/spawn.h"

struct cgroup;

enum { CHILD_OUTPUTS = 3 }; /* descriptors 1, 2, 3 */

struct process {
	struct list node;    /* of process.c's `live` */
	struct list command; /* of its `kills`; under lock */
	int64_t grace_ns;    /* asked for by process_kill; under lock */
	bool gone;           /* its pid is no longer ours; under lock */
	pid_t pid;           /* also its session and group; set before anybody sees it */
	int pidfd;
	bool ended;
	struct output outputs[CHILD_OUTPUTS];
	struct cgroup *cgroup;  /* NULL */
	int64_t cpu_limit_ns;   /* of the cgroup; 0: none, or setrlimit's */
	bool cgroup_lost;       /* and it was told */
	int64_t kill_ns;        /* when `timer` kills it, clock_mono_ns */
	struct event *on_end;   /* pidfd */
	struct event *timer;    /* SIGKILL while live, linger once ended */
	struct event *on_oom, *cpu_timer; /* NULL */
	void (*on_exit)(const struct process_end *end, void *arg);
	void *arg;
};

/* What all children start from. */
struct child_ground {
	struct event_base *base;
	const char *const *env; /* the short list */
	int null_fd;
	pid_t service;
	void (*finish)(struct process *p); /* it has ended, and its pipes or the time for them */
};

/* Borrowed by child_new. */
struct child_request {
	const struct process_params *params;
	const char *path;         /* of the program */
	int input;                /* its stdin; -1: none */
	struct spawn_rules rules;
};

/* Starts it. 0 or -errno (logged). */
int child_new(const struct child_ground *ground, const struct child_request *request,
	      struct process **out);
/* SIGKILL to the whole tree, as far as that can be seen. */
void child_kill(struct process *p);
/* The same after so long, if it lives then. */
void child_kill_later(struct process *p, int64_t grace_ns);
/* The last output is given, all that is left of the tree killed. */
void child_close(struct process *p);
/* Waits for it, which does not take long: it has ended. Gives back all it holds: its
 * cgroup, descriptors; p itself stays. */
void child_reap(struct process *p, struct process_end *out);
void child_free(struct process *p);

#endif
