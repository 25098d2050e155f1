/* command_dir.c: see command_dir.h. */
#define _GNU_SOURCE
#include "service/command_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/util.h"
#include "service/account.h"

#define PREFIX "errand-work-"
enum { DEEP = 64 };

static char *root;      /* NULL: not used */
static int root_fd = -1; /* holds the lock */

/* --- taking away --- */

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Whatever its mode; that of a link's target is not touched. */
static int open_dir(int fd, const char *name)
{
	AUTO_CLOSE int place = openat(fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	char self[64];

	if (place < 0)
		return -1;
	snprintf(self, sizeof self, "/proc/self/fd/%d", place);
	chmod(self, 0700);
	return openat(place, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void remove_inside(int fd, int top, unsigned depth);

/* What is too deep is moved to the top first, and met there again. */
static void remove_dir(int fd, const char *name, int top, unsigned depth)
{
	static _Atomic unsigned n_moved;
	char moved[32];
	int inner;

	if (depth >= DEEP) {
		snprintf(moved, sizeof moved, ".deep-%u", n_moved++);
		if (renameat(fd, name, top, moved) == 0)
			return;
	}
	inner = open_dir(fd, name);
	if (inner < 0)
		return;
	remove_inside(inner, top, depth + 1);
	unlinkat(fd, name, AT_REMOVEDIR);
}

/* Takes fd. */
static void remove_inside(int fd, int top, unsigned depth)
{
	DIR *dir = fdopendir(fd);
	struct dirent *e;

	if (dir == NULL) {
		close(fd);
		return;
	}
	while ((e = readdir(dir)) != NULL) {
		if (is_dots(e->d_name) || unlinkat(fd, e->d_name, 0) == 0)
			continue;
		if (errno == EISDIR || errno == EPERM || errno == EACCES)
			remove_dir(fd, e->d_name, top, depth);
	}
	closedir(dir);
}

/* Again as long as something moved up: each round empties the levels above. */
static int remove_tree(int parent, const char *name)
{
	int fd = -1;

	for (int round = 0; round < 10000; round++) {
		AUTO_CLOSE int top = open_dir(parent, name);

		if (top < 0)
			return errno == ENOENT ? 0 : -errno;
		fd = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			return -errno;
		remove_inside(fd, top, 1);
		if (unlinkat(parent, name, AT_REMOVEDIR) == 0)
			return 0;
		if (errno != ENOTEMPTY && errno != EEXIST)
			return -errno;
	}
	return -ENOTEMPTY;
}

void command_dir_remove(const char *path)
{
	int err = remove_tree(AT_FDCWD, path);

	if (err < 0)
		log_warn("a temporary directory could not be taken away", "path=%s error=%s", path,
			 strerrorname_np(-err));
}

/* --- the service's own --- */

static const char *tmpdir(void)
{
	const char *dir = getenv("TMPDIR");

	return dir != NULL && *dir == '/' ? dir : "/tmp";
}

/* Nobody's: of our user, and not locked. */
static void sweep_one(int parent, const char *name)
{
	AUTO_CLOSE int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_uid != geteuid() || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return;
	if (remove_tree(parent, name) == 0)
		log_info("removed the temporary directories of a service that has gone", "path=%s/%s", tmpdir(), name);
}

static void sweep(void)
{
	DIR *dir = opendir(tmpdir());
	struct dirent *e;

	while (dir != NULL && (e = readdir(dir)) != NULL)
		if (strncmp(e->d_name, PREFIX, strlen(PREFIX)) == 0)
			sweep_one(dirfd(dir), e->d_name);
	if (dir != NULL)
		closedir(dir);
}

/* Between its making and its lock somebody may have swept it: then anew. */
static int make_locked(void)
{
	struct stat st, now;

	for (int i = 0; i < 100; i++) {
		AUTO_FREE char *path = xasprintf("%s/" PREFIX "XXXXXX", tmpdir());
		AUTO_CLOSE int fd = -1;

		if (mkdtemp(path) == NULL)
			return -errno;
		fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &st) < 0 || stat(path, &now) < 0 ||
		    st.st_ino != now.st_ino)
			continue;
		if (fchmod(fd, 0711) < 0)
			return -errno;
		root = realpath(path, NULL);
		root_fd = fd;
		fd = -1;
		return root != NULL ? 0 : -errno;
	}
	return -EAGAIN;
}

int command_dir_init(char *why, size_t why_size)
{
	int err;

	if (root != NULL)
		return 0;
	sweep();
	err = make_locked();
	if (err < 0)
		snprintf(why, why_size, "no temporary directory in %s (TMPDIR): %s", tmpdir(), strerror(-err));
	return err;
}

void command_dir_deinit(void)
{
	if (root != NULL)
		command_dir_remove(root);
	if (root_fd >= 0)
		close(root_fd);
	root_fd = -1;
	free(root);
	root = NULL;
}

/* --- of an attempt --- */

static int give_to(const char *path, const char *user, const char *group)
{
	AUTO_FREE char *why = NULL;
	struct account a;
	int err = account_find(user, group, &a, &why);

	if (err < 0) {
		log_warn("no temporary directory", "reason=\"%s\"", why);
		return err;
	}
	if (a.switches && lchown(path, a.uid, a.gid) < 0)
		err = -errno;
	account_deinit(&a);
	return err;
}

int command_dir_make(const char *user, const char *group, char **pathp)
{
	AUTO_FREE char *path = xasprintf("%s/XXXXXX", root != NULL ? root : tmpdir());
	int err;

	if (mkdtemp(path) == NULL)
		return -errno;
	err = give_to(path, user, group);
	if (err < 0) {
		command_dir_remove(path);
		return err;
	}
	*pathp = path;
	path = NULL;
	return 0;
}
