/* landlock.c: see landlock.h. Numbers and layouts are the kernel's (landlock(7)), named
 * here because headers are often older than the kernel that runs. */
#define _GNU_SOURCE
#include "service/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/util.h"

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif

enum { ASK_VERSION = 1, PATH_BENEATH = 1 };

enum {
	EXECUTE = 1 << 0, WRITE_FILE = 1 << 1, READ_FILE = 1 << 2, READ_DIR = 1 << 3,
	REMOVE_DIR = 1 << 4, REMOVE_FILE = 1 << 5, MAKE_CHAR = 1 << 6, MAKE_DIR = 1 << 7,
	MAKE_REG = 1 << 8, MAKE_SOCK = 1 << 9, MAKE_FIFO = 1 << 10, MAKE_BLOCK = 1 << 11,
	MAKE_SYM = 1 << 12, REFER = 1 << 13, TRUNCATE = 1 << 14, IOCTL_DEV = 1 << 15,

	FIRST_FILES = (1 << 13) - 1, /* of the first version */
	FOR_READ = EXECUTE | READ_FILE | READ_DIR,
	/* Not to execute what it has written; devices are for nobody to make. */
	FOR_WRITE = READ_FILE | READ_DIR | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG |
		    MAKE_SOCK | MAKE_FIFO | MAKE_SYM | REFER | TRUNCATE | IOCTL_DEV,
	OF_A_FILE = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV, /* the rest is of directories */
};
enum { SCOPE_SIGNAL = 1 << 1 };

/* What each version brought, as far as we ask for it. */
static const struct {
	int abi;
	uint64_t files, scoped;
} versions[] = {
	{1, FIRST_FILES, 0}, {2, REFER, 0}, {3, TRUNCATE, 0}, {5, IOCTL_DEV, 0}, {6, 0, SCOPE_SIGNAL},
};

/* Where the loader finds itself and libraries. */
static const char *const loader_paths[] = {"/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64",
					   "/usr/local/lib", "/etc/ld.so.cache"};

/* --- the kernel --- */

static int kernel_create(const struct landlock_ruleset *rules)
{
	return (int)syscall(SYS_landlock_create_ruleset, rules, sizeof *rules, 0);
}

static int kernel_add(int ruleset, int fd, uint64_t access)
{
	const struct {
		uint64_t access;
		int32_t fd;
	} __attribute__((packed)) rule = {access, fd};

	return (int)syscall(SYS_landlock_add_rule, ruleset, PATH_BENEATH, &rule, 0);
}

static const struct landlock_calls kernel = {kernel_create, kernel_add};

int landlock_abi(void)
{
	int version = (int)syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, ASK_VERSION);

	return MAX(version, 0);
}

bool landlock_available(void)
{
	return landlock_abi() > 0;
}

int landlock_restrict(int fd)
{
	return (int)syscall(SYS_landlock_restrict_self, fd, 0);
}

/* --- rules --- */

static struct landlock_ruleset handled_by(int abi)
{
	struct landlock_ruleset rules = {0};

	for (size_t i = 0; i < ARRAY_LEN(versions); i++)
		if (versions[i].abi <= abi) {
			rules.files |= versions[i].files;
			rules.scoped |= versions[i].scoped;
		}
	return rules;
}

struct maker {
	const struct landlock_calls *calls;
	int fd;
	uint64_t handled;
};

static int add(const struct maker *m, const char *path, uint64_t access)
{
	AUTO_CLOSE int fd = open(path, O_PATH | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		access &= OF_A_FILE;
	return m->calls->add(m->fd, fd, access & m->handled) < 0 ? -errno : 0;
}

static int add_all(const struct maker *m, const char *const *paths, uint64_t access, const char **badp)
{
	int rc = 0;

	for (; rc == 0 && paths != NULL && *paths != NULL; paths++) {
		rc = add(m, *paths, access);
		if (rc < 0)
			*badp = *paths;
	}
	return rc;
}

static int add_paths(const struct maker *m, const struct landlock_paths *paths, const char **badp)
{
	const char *const program[] = {paths->program, NULL};
	int rc = add_all(m, program, FOR_READ, badp);

	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(loader_paths); i++) {
		rc = add(m, loader_paths[i], FOR_READ);
		if (rc == -ENOENT)
			rc = 0; /* not every system has each */
		else if (rc < 0)
			*badp = loader_paths[i];
	}
	if (rc == 0)
		rc = add_all(m, paths->read, FOR_READ, badp);
	return rc < 0 ? rc : add_all(m, paths->write, FOR_WRITE, badp);
}

int landlock_rules_by(const struct landlock_calls *calls, int abi, const struct landlock_paths *paths,
		      int *fdp, const char **badp)
{
	struct landlock_ruleset rules = handled_by(abi);
	struct maker m = {calls, -1, rules.files};
	int rc;

	*fdp = -1;
	*badp = NULL;
	if (abi <= 0)
		return -EOPNOTSUPP;
	m.fd = calls->create(&rules);
	if (m.fd < 0)
		return errno == ENOSYS ? -EOPNOTSUPP : -errno;
	rc = add_paths(&m, paths, badp);
	if (rc < 0)
		close(m.fd);
	else
		*fdp = m.fd;
	return rc;
}

int landlock_rules(const struct landlock_paths *paths, int *fdp, const char **badp)
{
	return landlock_rules_by(&kernel, landlock_abi(), paths, fdp, badp);
}
