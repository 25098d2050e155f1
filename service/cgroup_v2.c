/* cgroup_v2.c: one tree of version 2, with controllers. A cgroup that hands controllers
 * to its children has no processes of its own, so the service moves into a leaf beside
 * them, "service"; it does so only where the tree was given to it: by systemd
 * (Delegate=yes), by the rights on its files, or by being the root of what is seen. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"
#include "service/cgroup_engine.h"

#define LEAF "service"

static const struct {
	const char *name;
	unsigned part;
} controllers[] = {
	{"memory", CGROUP_MEMORY}, {"cpu", CGROUP_CPU}, {"pids", CGROUP_PIDS}, {"io", CGROUP_IO},
};

static bool has_word(const char *text, const char *word)
{
	size_t len = strlen(word);

	for (; (text = strstr(text, word)) != NULL; text += len)
		if (text[len] == 0 || text[len] == ' ' || text[len] == '\n')
			return true;
	return false;
}

/* Of those that `file` of dir names. */
static unsigned parts_in(int dir, const char *file)
{
	char text[512];
	unsigned parts = 0;

	if (cgroup_read(dir, file, text, sizeof text) < 0)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(controllers); i++)
		if (has_word(text, controllers[i].name))
			parts |= controllers[i].part;
	return parts;
}

/* Hands on what it can, one by one; 0 or the last -errno. -EBUSY: there are processes in
 * it, and nothing is handed on: memory comes first, and if cpu or pids were given without
 * it, children that are to hold processes would be invalid. */
static int hand_on(int dir, unsigned parts)
{
	char text[CGROUP_TEXT];
	int rc = 0;

	for (size_t i = 0; i < ARRAY_LEN(controllers) && rc != -EBUSY; i++) {
		int r;

		if (!(parts & controllers[i].part))
			continue;
		snprintf(text, sizeof text, "+%s", controllers[i].name);
		if ((r = cgroup_write(dir, "cgroup.subtree_control", text)) < 0)
			rc = r;
	}
	return rc;
}

/* systemd marks what it has delegated. Who is not root may write only what he was given. */
static bool is_delegated(const char *path)
{
	char value[8];

	if (geteuid() != 0)
		return true;
	return getxattr(path, "trusted.delegate", value, sizeof value) > 0 ||
	       getxattr(path, "user.delegate", value, sizeof value) > 0;
}

/* Of what is seen: of the machine, or of a container. */
static bool is_root(int dir)
{
	struct stat here, above;

	return fstat(dir, &here) == 0 && fstatat(dir, "..", &above, 0) == 0 &&
	       here.st_dev != above.st_dev;
}

/* Into the leaf, and back again when others are left: their place is not ours to choose. */
static int move_away(int dir)
{
	char text[512], pid[CGROUP_TEXT];
	int rc;

	if (mkdirat(dir, LEAF, 0755) < 0 && errno != EEXIST)
		return -errno;
	snprintf(pid, sizeof pid, "%d", (int)getpid());
	rc = cgroup_write(dir, LEAF "/cgroup.procs", pid);
	if (rc == 0 && (rc = cgroup_read(dir, "cgroup.procs", text, sizeof text)) == 0 && text[0] != 0) {
		cgroup_write(dir, "cgroup.procs", pid);
		rc = -EBUSY;
	}
	if (rc < 0)
		unlinkat(dir, LEAF, AT_REMOVEDIR);
	return rc;
}

/* The parts that children can have; 0 with why. */
static unsigned prepare(const char *path, bool named, char why[CGROUP_WHY])
{
	AUTO_CLOSE int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	unsigned parts, had;
	int rc;

	if (dir < 0 || access(path, W_OK) < 0 || faccessat(dir, "cgroup.subtree_control", W_OK, 0) < 0) {
		snprintf(why, CGROUP_WHY, "%s: %s", path, strerror(errno));
		return 0;
	}
	parts = parts_in(dir, "cgroup.controllers");
	had = parts_in(dir, "cgroup.subtree_control");
	if (!(parts & CGROUP_MEMORY)) {
		snprintf(why, CGROUP_WHY, "%s has no memory controller", path);
		return 0;
	}
	if (!named && !is_root(dir) && !is_delegated(path)) {
		snprintf(why, CGROUP_WHY, "%s is not delegated (systemd: Delegate=yes)", path);
		return 0;
	}
	rc = hand_on(dir, parts & ~had);
	if (rc == -EBUSY && !named && (rc = move_away(dir)) == 0)
		rc = hand_on(dir, parts & ~had);
	parts &= parts_in(dir, "cgroup.subtree_control");
	if (parts & CGROUP_MEMORY)
		return parts;
	snprintf(why, CGROUP_WHY, "%s: its controllers cannot be handed on: %s", path,
		 rc == -EBUSY ? "there are processes of others in it" : strerror(-rc));
	return 0;
}

static size_t probe(const struct cgroup_place *places, size_t n, bool named,
		    struct cgroup_tree out[CGROUP_PLACES], char why[CGROUP_WHY])
{
	for (size_t i = 0; i < n; i++) {
		unsigned parts;

		if (places[i].parts != CGROUP_UNIFIED)
			continue;
		parts = prepare(places[i].dir, named, why);
		if (parts == 0)
			return 0;
		out[0] = (struct cgroup_tree){.parts = parts | CGROUP_UNIFIED, .parent = places[i].dir};
		return 1;
	}
	snprintf(why, CGROUP_WHY, "no tree of version 2 is mounted");
	return 0;
}

static void made(struct cgroup_tree *tree)
{
	int rc = hand_on(tree->ours, tree->parts);

	if (rc < 0)
		log_warn("controllers not handed on", "cgroup=%s error=%s", tree->path, strerrorname_np(-rc));
	tree->parts = CGROUP_UNIFIED | parts_in(tree->ours, "cgroup.subtree_control");
}

static void text_zero(const struct errand_limits *limits, char out[CGROUP_TEXT])
{
	strcpy(out, "0");
}

static void text_one(const struct errand_limits *limits, char out[CGROUP_TEXT])
{
	strcpy(out, "1");
}

static void text_cpu(const struct errand_limits *limits, char out[CGROUP_TEXT])
{
	snprintf(out, CGROUP_TEXT, "%lld %d", (long long)cgroup_quota_us(limits), CGROUP_PERIOD_US);
}

static void text_weight(const struct errand_limits *limits, char out[CGROUP_TEXT])
{
	snprintf(out, CGROUP_TEXT, "%u", limits->io_weight);
}

static const struct cgroup_setting settings[] = {
	{CGROUP_MEMORY, "memory.max", cgroup_text_memory, false},
	{CGROUP_MEMORY, "memory.swap.max", text_zero, true},
	{CGROUP_MEMORY, "memory.oom.group", text_one, true},
	{CGROUP_CPU, "cpu.max", text_cpu, false},
	{CGROUP_PIDS, "pids.max", cgroup_text_processes, false},
	{CGROUP_IO, "io.weight", text_weight, false},
};

const struct cgroup_kind cgroup_v2 = {
	.name = "cgroup2",
	.probe = probe,
	.made = made,
	.settings = settings,
	.n_settings = ARRAY_LEN(settings),
	.peak = {CGROUP_MEMORY, "memory.peak", NULL, 1},
	.oom = {CGROUP_MEMORY, "memory.events", "oom_kill", 1},
	.cpu = {{CGROUP_UNIFIED, "cpu.stat", "usage_usec", 1000}},
};
