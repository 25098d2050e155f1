/* cgroup_place.c: see cgroup_place.h. At start only. */
#define _GNU_SOURCE
#include "service/cgroup_place.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"

enum { FIELD_ROOT = 3, FIELD_MOUNT = 4, N_FIELDS = 64 };

static const struct {
	const char *name;
	unsigned part;
} controllers[] = {
	{"memory", CGROUP_MEMORY}, {"cpu", CGROUP_CPU},         {"pids", CGROUP_PIDS},
	{"cpuacct", CGROUP_CPUACCT}, {"freezer", CGROUP_FREEZER},
};

/* "cpu,cpuacct,rw" */
static unsigned parts_of(const char *list)
{
	unsigned parts = 0;

	for (size_t len; *list; list += len + (list[len] == ',')) {
		len = strcspn(list, ",");
		for (size_t i = 0; i < ARRAY_LEN(controllers); i++)
			if (strlen(controllers[i].name) == len && memcmp(controllers[i].name, list, len) == 0)
				parts |= controllers[i].part;
	}
	return parts;
}

/* Words of a line, cut at its spaces; how many. */
static size_t split(char *line, char *out[N_FIELDS])
{
	size_t n = 0;
	char *rest = line;

	line[strcspn(line, "\n")] = 0;
	for (char *word; n < N_FIELDS && (word = strsep(&rest, " ")) != NULL;)
		out[n++] = word;
	return n;
}

/* What is mounted in a line of mountinfo: "36 35 0:30 ROOT MOUNT opts [tags] - TYPE SOURCE
 * OPTIONS", of which version 1 names its controllers in the last. */
static unsigned mount_parts(char *const *words, size_t n)
{
	for (size_t i = FIELD_MOUNT + 1; i + 3 < n; i++)
		if (strcmp(words[i], "-") == 0) {
			if (strcmp(words[i + 1], "cgroup2") == 0)
				return CGROUP_UNIFIED;
			return strcmp(words[i + 1], "cgroup") == 0 ? parts_of(words[i + 3]) : 0;
		}
	return 0;
}

/* The cgroup `path` below a mount that shows the hierarchy from `root` on; NULL: it does
 * not show that one. Names with an escaped blank are none of ours. */
static char *place_dir(const char *mount, const char *root, const char *path)
{
	size_t len = strcmp(root, "/") == 0 ? 0 : strlen(root);

	if (strchr(mount, '\\') != NULL || strncmp(path, "/..", 3) == 0 || strncmp(path, root, len) != 0 ||
	    (path[len] != '/' && path[len] != 0))
		return NULL;
	path += len;
	return xasprintf("%s%s", mount, strcmp(path, "/") == 0 ? "" : path);
}

/* "4:memory:/path", "0::/path" */
static void place_find(char *line, const char *path, unsigned mounted, char *const *words,
		       struct cgroup_place *out)
{
	char *list = strchr(line, ':'), *own = list ? strchr(list + 1, ':') : NULL;
	struct stat st;

	if (own == NULL)
		return;
	*own++ = 0;
	own[strcspn(own, "\n")] = 0;
	if (mounted == CGROUP_UNIFIED ? list[1] != 0 : (parts_of(list + 1) & mounted) == 0)
		return;
	out->dir = place_dir(words[FIELD_MOUNT], words[FIELD_ROOT], path ? path : own);
	if (out->dir != NULL && (stat(out->dir, &st) < 0 || !S_ISDIR(st.st_mode))) {
		free(out->dir);
		out->dir = NULL;
	}
	out->parts = mounted;
}

static void place_look(const char *self_cgroup, const char *path, unsigned mounted,
		       char *const *words, struct cgroup_place *out)
{
	AUTO_FREE char *line = NULL;
	size_t size = 0;
	FILE *f = fopen(self_cgroup, "re");

	while (f != NULL && out->dir == NULL && getline(&line, &size, f) > 0)
		place_find(line, path, mounted, words, out);
	if (f != NULL)
		fclose(f);
}

static bool is_known(const struct cgroup_place *places, size_t n, unsigned parts)
{
	for (size_t i = 0; i < n; i++)
		if (places[i].parts & parts)
			return true;
	return false;
}

size_t cgroup_places_read(const char *self_cgroup, const char *mountinfo, const char *path,
			  struct cgroup_place out[CGROUP_PLACES])
{
	AUTO_FREE char *line = NULL;
	size_t size = 0, n = 0;
	FILE *f = fopen(mountinfo, "re");

	while (f != NULL && n < CGROUP_PLACES && getline(&line, &size, f) > 0) {
		char *words[N_FIELDS];
		unsigned parts = mount_parts(words, split(line, words));

		out[n] = (struct cgroup_place){0};
		if (parts == 0 || is_known(out, n, parts))
			continue;
		place_look(self_cgroup, path, parts, words, &out[n]);
		n += out[n].dir != NULL;
	}
	if (f != NULL)
		fclose(f);
	return n;
}

void cgroup_places_deinit(struct cgroup_place *places, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(places[i].dir);
}
