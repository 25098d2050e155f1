/* landlock.h: which files a program may use, held by the kernel (Landlock, Linux 5.13).
 * By system calls alone. The rules are made before the vfork, the child puts itself
 * under them; all it starts is under them too.
 *
 * Beside the paths that are named a program may read and execute itself and what is in
 * the places of shared libraries, else it could not even begin; nothing more. Newer
 * kernels hold more (a table in landlock.c): before 5.19 files cannot be moved from one
 * directory to another, before 6.2 truncate(2) is not asked about, from 6.10 on ioctl
 * of devices is, from 6.12 on nobody outside can be sent a signal. */
#ifndef SERVICE_LANDLOCK_H
#define SERVICE_LANDLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct landlock_paths {
	const char *program;
	const char *const *read;  /* and execute; NULL-terminated; NULL: none */
	const char *const *write; /* and read */
};

/* Any thread. The version of what the kernel has, 0: nothing. */
int landlock_abi(void);
bool landlock_available(void);

/* Any thread. *fdp: the rules, for landlock_restrict; the caller closes it. -EOPNOTSUPP the
 * kernel has no Landlock, or it is switched off; else -errno of *badp (of `paths`), a path
 * that cannot be opened. */
int landlock_rules(const struct landlock_paths *paths, int *fdp, const char **badp);
/* The calling thread, for good; needs PR_SET_NO_NEW_PRIVS. In a vforked child. 0 or -1
 * with errno. */
int landlock_restrict(int fd);

/* --- for tests: the same with other system calls and another version --- */

struct landlock_ruleset {
	uint64_t files, net, scoped;
};
struct landlock_calls {
	int (*create)(const struct landlock_ruleset *rules); /* fd or -1 with errno */
	int (*add)(int ruleset, int fd, uint64_t access);    /* 0 or -1 with errno */
};
int landlock_rules_by(const struct landlock_calls *calls, int abi, const struct landlock_paths *paths,
		      int *fdp, const char **badp);

#endif
