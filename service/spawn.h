/* spawn.h: starting one program, from the process thread only. vfork, so that no
 * copy of the service is made and no lock another thread holds is ever needed:
 * between vfork and exec the child does system calls and nothing else. */
#ifndef SERVICE_SPAWN_H
#define SERVICE_SPAWN_H

#include <sys/resource.h>
#include <sys/types.h>

#include "service/account.h"

struct spawn_rlimit {
	int resource;
	struct rlimit value;
};

/* All borrowed. */
struct spawn {
	const char *path; /* of the program: spawn_find */
	const char *const *argv, *const *env;
	const char *dir;  /* NULL: the service's */
	int stdin_fd, stdout_fd, stderr_fd;
	int warden_fd;    /* where the child announces its session; -1 */
	pid_t parent;     /* the service */
	const struct rlimit *mark; /* orphans_mark() */
	int message_fd;   /* becomes its fd 3; -1: none */
	/* cgroup.procs of its cgroups, where the child writes itself in first of all. */
	const int *join_fds;
	size_t n_join;
	/* What no cgroup holds for it (cgroup.h); set as who it is to run as, so a hard limit
	 * is the most there is. */
	const struct spawn_rlimit *rlimits;
	size_t n_rlimits;
	int umask;        /* as of errand_command: 0: 022, -1: 0 */
	const struct spawn_rules *rules; /* NULL: the service's user, no Landlock */
};

/* What has to be looked up or opened before there is a child. */
struct spawn_rules {
	struct account account;
	int ruleset_fd;   /* Landlock; -1: none */
};

/* The place of a program: as it is when it has a slash, else the first executable
 * file of that name in the absolute directories of PATH. *pathp is malloc'd. 0,
 * -ENOENT, or -EACCES when there is a file, but none that may be executed. */
int spawn_find(const char *name, char **pathp);

/* Any thread; may take a while, since names of users may come over the network. user and
 * group NULL: the service's; read and write both NULL: no Landlock. 0; -EOPNOTSUPP when it
 * cannot be had here, another -errno when it cannot now; a log line says what. */
int spawn_rules_make(struct spawn_rules *r, const char *path, const char *user, const char *group,
		     const char *const *read, const char *const *write);
void spawn_rules_deinit(struct spawn_rules *r);

/* 0 and the child, which leads a session and a process group of its own; or -errno
 * with *stepp naming what failed ("exec", "chdir", ...) and no child left: -EOPNOTSUPP for
 * a limit, user or rule that cannot be had here, -ENOTDIR for a dir that is not there. */
int spawn_start(const struct spawn *s, pid_t *pidp, const char **stepp);

#endif
