/* cgroup.h: what holds and counts the whole tree of a program.
 *
 * Which kind there is is looked up once at start: `cgroup2` (the service's own cgroup
 * was delegated to it, with controllers), `cgroup1` (hierarchies of version 1 it may
 * write, with a tree of version 2 without controllers beside them if there is one) or
 * `rlimit` (none: setrlimit and wait4 have to do). In each hierarchy the service makes a
 * directory of its own, errand.PID, and in it one for each child: N. Whoever finds such a
 * directory without its owner's lock (flock) may clear it away: the next service, or the
 * warden of a service that was killed.
 *
 * cgroup_init before all threads; the rest on the process thread. */
#ifndef SERVICE_CGROUP_H
#define SERVICE_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "errand/service.h"
#include "service/spawn.h"

struct cgroup; /* of one child; freed by cgroup_free */

enum { CGROUP_JOINS = 8, CGROUP_RLIMITS = 8 };

struct cgroup_config {
	const char *where; /* "auto", "off", or a cgroup as /proc/self/cgroup names them */
	const char *self_cgroup, *mountinfo; /* NULL: those in /proc/self */
};

/* Without it, or with "off", the kind is rlimit. 0, or a negative number with the reason in why:
 * only for a cgroup that was named and is none, or cannot be used. */
int cgroup_init(const struct cgroup_config *c, char *why, size_t why_size);
/* Removes the directories; no child is left. */
void cgroup_deinit(void);
const char *cgroup_kind(void);

/* 0 with one for a child (NULL: there is no need or no way, the program starts without);
 * -EOPNOTSUPP: the limits are to hold for the whole tree and would not (logged); else
 * -errno (logged). limits may be NULL. */
int cgroup_new(const struct errand_limits *limits, struct cgroup **out);
/* Files a new process writes "0" into, to be closed by the caller. Their number, or
 * -errno and none is open. g may be NULL. */
int cgroup_joins(const struct cgroup *g, int fds[CGROUP_JOINS]);
/* What is left for setrlimit; how many. g and limits may be NULL. */
size_t cgroup_rlimits(const struct cgroup *g, const struct errand_limits *limits,
		      struct spawn_rlimit out[CGROUP_RLIMITS]);
/* Readable once the kernel has killed something of it for memory and leaves the rest
 * alive; -1: it kills all by itself. Borrowed. */
int cgroup_oom_fd(const struct cgroup *g);
/* SIGKILL to all in it; once more may be needed where there is no cgroup.kill. */
void cgroup_kill(const struct cgroup *g);

struct cgroup_usage {
	int64_t peak_memory, cpu_ns; /* -1: not counted */
	bool oom;
};
void cgroup_usage(const struct cgroup *g, struct cgroup_usage *out);
/* -1: not counted. */
int64_t cgroup_cpu_ns(const struct cgroup *g);

/* Kills what is left in it and removes it: at once, or by cgroup_sweep. */
void cgroup_free(struct cgroup *g);
/* Removes what could not be removed yet; how many are left. */
size_t cgroup_sweep(void);

/* For the warden, in its own process after the service's death: kills all children and
 * removes the directories. System calls and static memory only. */
void cgroup_bury(void);

#endif
