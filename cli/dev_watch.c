#define _GNU_SOURCE
#include "cli/dev_watch.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/util.h"

#define DEPTH 8
#define EVENTS (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CREATE | IN_ONLYDIR)

/* Editors write hidden files, or NAME~ and numbers, beside those they change. */
static bool ends_in(const char *name, const char *const *ends, size_t n)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < n; i++)
		if (len > strlen(ends[i]) && strcmp(name + len - strlen(ends[i]), ends[i]) == 0)
			return true;
	return false;
}

static bool is_source(const char *name)
{
	static const char *const sources[] = {".c", ".h", ".cc", ".cpp", ".hpp", ".proto", ".mk", ".S"};
	static const char *const made[] = {".pb-c.c", ".pb-c.h", ".schema.c", ".schema.h"};

	if (name[0] == '.' || ends_in(name, made, ARRAY_LEN(made)))
		return false;
	return ends_in(name, sources, ARRAY_LEN(sources)) || strcasecmp(name, "makefile") == 0;
}

static int add(struct dev_watch *w, const char *path)
{
	int wd = inotify_add_watch(w->fd, path, EVENTS);

	if (wd < 0)
		return -errno;
	w->dirs = xrealloc(w->dirs, (w->n_dirs + 1) * sizeof *w->dirs);
	w->dirs[w->n_dirs++] = (struct dev_watched){wd, xstrdup(path)};
	return 0;
}

/* found: is there a source in it already? (It was made and filled before we watched.) */
static int add_tree(struct dev_watch *w, const char *path, int depth, bool *found)
{
	int r = add(w, path);
	DIR *dir = r == 0 ? opendir(path) : NULL;
	struct dirent *e;

	while (dir != NULL && (e = readdir(dir)) != NULL) {
		AUTO_FREE char *below = NULL;

		*found = *found || is_source(e->d_name);
		if (e->d_type != DT_DIR || e->d_name[0] == '.' || depth == 0)
			continue;
		below = xasprintf("%s/%s", path, e->d_name);
		add_tree(w, below, depth - 1, found);
	}
	if (dir != NULL)
		closedir(dir);
	return r;
}

int dev_watch_open(struct dev_watch *w, const char *dir)
{
	bool found = false;

	*w = (struct dev_watch){.fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK)};
	return w->fd < 0 ? -errno : add_tree(w, dir, DEPTH, &found);
}

void dev_watch_close(struct dev_watch *w)
{
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
	for (size_t i = 0; i < w->n_dirs; i++)
		free(w->dirs[i].path);
	free(w->dirs);
	w->dirs = NULL;
	w->n_dirs = 0;
}

static const char *folder_of(const struct dev_watch *w, int wd)
{
	for (size_t i = w->n_dirs; i-- > 0;)
		if (w->dirs[i].wd == wd)
			return w->dirs[i].path;
	return NULL;
}

static bool look_at(struct dev_watch *w, const struct inotify_event *e, char *name, size_t size)
{
	const char *folder = folder_of(w, e->wd);
	bool found = false;

	if (e->mask & IN_Q_OVERFLOW) {
		snprintf(name, size, "many files");
		return true;
	}
	if (e->len == 0 || folder == NULL)
		return false;
	if ((e->mask & IN_ISDIR) && (e->mask & (IN_CREATE | IN_MOVED_TO)) && e->name[0] != '.') {
		AUTO_FREE char *path = xasprintf("%s/%s", folder, e->name);

		add_tree(w, path, DEPTH, &found);
	} else if (!(e->mask & (IN_CREATE | IN_ISDIR))) {
		found = is_source(e->name); /* one that is made is told again when it is whole */
	}
	if (found)
		snprintf(name, size, "%s", e->name);
	return found;
}

bool dev_watch_read(struct dev_watch *w, char *name, size_t size)
{
	char bytes[8192] __attribute__((aligned(__alignof__(struct inotify_event))));
	bool any = false;
	ssize_t n;

	while ((n = read(w->fd, bytes, sizeof bytes)) > 0)
		for (char *p = bytes; p < bytes + n;) {
			const struct inotify_event *e = (const void *)p;

			any = look_at(w, e, name, size) || any;
			p += sizeof *e + e->len;
		}
	return any;
}
