/* command_path.c: see command_path.h. */
#define _GNU_SOURCE
#include "service/command_path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define TEMP_PREFIX ".errand-"
enum { SUFFIX_MAX = 32 };

/* --- as text --- */

static size_t last_slash(const struct buf *b)
{
	size_t len = b->len;

	while (len > 0 && b->data[len - 1] != '/')
		len--;
	return len > 0 ? len - 1 : 0;
}

static void append_parts(struct buf *out, const char *path)
{
	for (size_t len; *path != '\0'; path += len) {
		path += strspn(path, "/");
		len = strcspn(path, "/");
		if (len == 0 || (len == 1 && path[0] == '.'))
			continue;
		if (len == 2 && path[0] == '.' && path[1] == '.') {
			out->len = last_slash(out);
			continue;
		}
		buf_append_byte(out, '/');
		buf_append(out, path, len);
	}
}

/* "/srv/media/a.mp4", without "//", ".", ".." or a slash at its end. */
static char *clean(const char *base, const char *path)
{
	AUTO_BUF out = BUF_INIT;

	if (*path != '/')
		append_parts(&out, base);
	append_parts(&out, path);
	if (out.len == 0)
		buf_append_byte(&out, '/');
	return xstrdup(buf_cstr(&out));
}

static bool is_below(const char *path, const char *dir, bool or_same)
{
	size_t len = strlen(dir);

	if (len == 1)
		return or_same || path[1] != '\0';
	if (strncmp(path, dir, len) != 0)
		return false;
	return path[len] == '/' || (or_same && path[len] == '\0');
}

static bool is_inside(char *const *dirs, const char *path, bool or_same)
{
	for (; dirs != NULL && *dirs != NULL; dirs++)
		if (is_below(path, *dirs, or_same))
			return true;
	return false;
}

/* in= itself is a directory like those below it. */
static bool may_be_dir(const struct command_param *p)
{
	return p->must == PATH_DIR || p->must == PATH_ANY;
}

static void refuse_outside(struct command_input *in, size_t param, size_t i, struct fault_list *faults)
{
	AUTO_BUF dirs = BUF_INIT;

	for (char **d = in->spec->params[param].dirs; d != NULL && *d != NULL; d++)
		buf_printf(&dirs, "%s%s", dirs.len > 0 ? " or " : "", *d);
	command_fault(in, param, i, "path.inside", faults, "the path must lead below %s", buf_cstr(&dirs));
}

static void check_text(struct command_input *in, size_t param, size_t i, struct fault_list *faults)
{
	const struct command_param *p = &in->spec->params[param];
	const struct command_text *t = &in->values[param].items[i];
	char *path;

	if (t->len == 0) {
		command_fault(in, param, i, "path.empty", faults, "the path is empty");
		return;
	}
	if (t->len >= PATH_MAX) {
		command_fault(in, param, i, "path.length", faults, "a path has at most %d bytes", PATH_MAX - 1);
		return;
	}
	path = clean(p->dirs != NULL && p->dirs[0] != NULL ? p->dirs[0] : "/", t->data);
	if (p->must == PATH_NEW && strncmp(strrchr(path, '/') + 1, TEMP_PREFIX, strlen(TEMP_PREFIX)) == 0) {
		command_fault(in, param, i, "path.name", faults, "names that begin with " TEMP_PREFIX " are errand's own");
		free(path);
		return;
	}
	if (is_inside(p->dirs, path, may_be_dir(p)) || is_inside(p->dirs_given, path, may_be_dir(p))) {
		command_input_replace(in, param, i, path);
		return;
	}
	free(path);
	refuse_outside(in, param, i, faults);
}

void command_paths_check(struct command_input *in, struct fault_list *faults)
{
	for (size_t param = 0; param < in->spec->n_params; param++)
		for (size_t i = 0; in->spec->params[param].type == PARAM_PATH && i < in->values[param].n; i++)
			check_text(in, param, i, faults);
}

/* --- in the file system --- */

struct look {
	struct command_input *in;
	size_t param, i;
	const char *unique;
	struct command_targets *targets;
	struct fault_list *faults;
};

#define REFUSE(l, rule, ...) command_fault((l)->in, (l)->param, (l)->i, rule, (l)->faults, __VA_ARGS__)

/* 0 when it is the path's fault, which is told; else err as it is. */
static int look_failed(const struct look *l, int err)
{
	switch (err) {
	case -ENOENT:
	case -ENOTDIR:
		REFUSE(l, "path.exists", "there is no such file");
		return 0;
	case -ELOOP:
		REFUSE(l, "path.inside", "the path goes through too many links");
		return 0;
	case -ENAMETOOLONG:
		REFUSE(l, "path.length", "a name in the path is too long");
		return 0;
	case -EACCES:
		REFUSE(l, "path.access", "the service may not look there");
		return 0;
	default:
		return err;
	}
}

/* Where the kernel's walk has ended. malloc'd; NULL with errno: ENOSYS without a /proc. */
static char *path_of(int fd)
{
	char link[64], path[PATH_MAX];
	ssize_t len;

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof path);
	if (len < 0 || len == sizeof path) {
		errno = len < 0 ? ENOSYS : ENAMETOOLONG;
		return NULL;
	}
	return xstrndup(path, (size_t)len);
}

/* Opens nothing, finds everything: fd, what it is, and its path (malloc'd). */
static int walk(const char *path, int flags, int *fdp, struct stat *st, char **realp)
{
	*realp = NULL;
	*fdp = open(path, O_PATH | O_CLOEXEC | flags);
	if (*fdp < 0)
		return -errno;
	if (fstat(*fdp, st) < 0 || (*realp = path_of(*fdp)) == NULL)
		return -errno;
	return st->st_nlink > 0 ? 0 : -ENOENT; /* removed in this moment */
}

static int look_existing(const struct look *l, const char *path)
{
	const struct command_param *p = &l->in->spec->params[l->param];
	AUTO_CLOSE int fd = -1;
	AUTO_FREE char *real = NULL;
	struct stat st;
	int err = walk(path, 0, &fd, &st, &real);

	if (err < 0)
		return err;
	if (!is_inside(p->dirs, real, may_be_dir(p))) {
		refuse_outside(l->in, l->param, l->i, l->faults);
	} else if (p->must == PATH_FILE && !S_ISREG(st.st_mode)) {
		REFUSE(l, "path.file", "this is no regular file");
	} else if (p->must == PATH_DIR && !S_ISDIR(st.st_mode)) {
		REFUSE(l, "path.dir", "this is no directory");
	} else {
		command_input_replace(l->in, l->param, l->i, real);
		real = NULL;
	}
	return 0;
}

/* "out.mp4" becomes ".errand-UNIQUE-0.mp4": beside it, and of the same kind. */
static char *temp_name(const struct look *l, const char *name)
{
	const char *suffix = strrchr(name, '.');

	if (suffix == NULL || suffix == name || strlen(suffix) > SUFFIX_MAX)
		suffix = "";
	return xasprintf(TEMP_PREFIX "%s-%zu%s", l->unique, l->param, suffix);
}

static char *join(const char *dir, const char *name)
{
	return xasprintf("%s/%s", strcmp(dir, "/") == 0 ? "" : dir, name);
}

/* Takes fd. */
static void target_add(const struct look *l, int fd, const char *dir, const char *name)
{
	struct command_targets *t = l->targets;
	struct command_target *new;

	t->items = xrealloc(t->items, (t->n + 1) * sizeof *t->items);
	new = &t->items[t->n++];
	*new = (struct command_target){l->param, fd, xstrdup(name), temp_name(l, name)};
	unlinkat(fd, new->temp_name, 0); /* of an attempt before */
	command_input_replace(l->in, l->param, l->i, join(dir, new->temp_name));
}

/* A name that may be free: its directory is what is resolved. */
static int look_new(const struct look *l, const char *path)
{
	const struct command_param *p = &l->in->spec->params[l->param];
	const char *slash = strrchr(path, '/'), *name = slash + 1;
	AUTO_FREE char *dir = xstrndup(path, slash > path ? (size_t)(slash - path) : 1), *real = NULL;
	AUTO_CLOSE int fd = -1;
	struct stat st;
	int err = walk(dir, O_DIRECTORY, &fd, &st, &real);

	if (err < 0)
		return err;
	if (!is_inside(p->dirs, real, true)) {
		refuse_outside(l->in, l->param, l->i, l->faults);
		return 0;
	}
	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(st.st_mode)) {
		REFUSE(l, "path.new", "there is something that is no regular file");
		return 0;
	}
	if (p->atomic) {
		target_add(l, fd, real, name);
		fd = -1;
	} else {
		AUTO_FREE char *resolved = join(real, name);

		command_input_replace(l->in, l->param, l->i, xstrdup(resolved));
	}
	return 0;
}

static int look(const struct look *l)
{
	const struct command_param *p = &l->in->spec->params[l->param];
	AUTO_FREE char *path = xstrdup(l->in->values[l->param].items[l->i].data);
	int err = p->must == PATH_NEW ? look_new(l, path) : look_existing(l, path);

	if (err == -ENOENT && p->must == PATH_ANY)
		err = look_new(l, path);
	return err < 0 ? look_failed(l, err) : 0;
}

int command_paths_resolve(struct command_input *in, const char *unique, struct command_targets *out,
			  struct fault_list *faults)
{
	struct look l = {.in = in, .unique = unique, .targets = out, .faults = faults};

	*out = (struct command_targets){0};
	for (l.param = 0; l.param < in->spec->n_params; l.param++)
		for (l.i = 0; in->spec->params[l.param].type == PARAM_PATH && l.i < in->values[l.param].n; l.i++) {
			int err = look(&l);

			if (err < 0)
				return err;
		}
	return 0;
}

/* --- whole or not --- */

/* The name comes after the content, and the directory after the name. */
static int keep(const struct command_target *t)
{
	AUTO_CLOSE int fd = openat(t->dir_fd, t->temp_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	AUTO_CLOSE int dir = -1;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (fsync(fd) < 0 || renameat(t->dir_fd, t->temp_name, t->dir_fd, t->name) < 0)
		return -errno;
	dir = openat(t->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir < 0 || fsync(dir) < 0 ? -errno : 0;
}

int command_targets_keep(struct command_targets *t, const char **whichp)
{
	for (size_t i = 0; i < t->n; i++) {
		int err = keep(&t->items[i]);

		if (err < 0) {
			*whichp = t->items[i].name;
			return err;
		}
	}
	return 0;
}

void command_targets_deinit(struct command_targets *t)
{
	for (size_t i = 0; i < t->n; i++) {
		unlinkat(t->items[i].dir_fd, t->items[i].temp_name, 0);
		close(t->items[i].dir_fd);
		free(t->items[i].name);
		free(t->items[i].temp_name);
	}
	free(t->items);
	*t = (struct command_targets){0};
}
