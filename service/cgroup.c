/* cgroup.c: see cgroup.h. The kinds say which files are written and read; making,
 * joining and removing the directories is the same for both. */
#define _GNU_SOURCE
#include "service/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/util.h"
#include "service/cgroup_engine.h"

#define PREFIX "errand."

struct cgroup {
	struct list node; /* of `leaving` */
	char name[CGROUP_NAME];
	unsigned used;    /* one bit for each tree */
	unsigned held;    /* parts whose limits are set */
	int oom_fd;       /* -1 */
};

static const struct cgroup_kind *const kinds[] = {&cgroup_v2, &cgroup_v1};

static struct {
	const struct cgroup_kind *kind; /* NULL: rlimit */
	char name[CGROUP_NAME];         /* errand.PID */
	struct cgroup_tree trees[CGROUP_PLACES];
	size_t n_trees, killer;         /* killer: the tree whose cgroups are killed */
	const struct cgroup_reading *cpu; /* NULL */
	unsigned parts;                 /* what limits can be held */
	unsigned long last;             /* number of a child */
	struct list leaving;
} self;

static const struct {
	unsigned part;
	const char *name; /* of the limit */
} names[] = {
	{CGROUP_MEMORY, "memory"},     {CGROUP_CPU, "cpus"},          {CGROUP_CPUACCT, "cpu_time"},
	{CGROUP_PIDS, "processes"},    {CGROUP_IO, "io_weight"},
};
enum { ALL_LIMITS = CGROUP_MEMORY | CGROUP_CPU | CGROUP_CPUACCT | CGROUP_PIDS | CGROUP_IO };

static const char *parts_text(unsigned parts, char out[CGROUP_TEXT])
{
	char *at = out;

	strcpy(out, "none");
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (parts & names[i].part)
			at += sprintf(at, "%s%s", at == out ? "" : ",", names[i].name);
	return out;
}

static const struct cgroup_tree *tree_with(unsigned part)
{
	for (size_t i = 0; i < self.n_trees; i++)
		if (self.trees[i].parts & part)
			return &self.trees[i];
	return NULL;
}

/* --- the service's own directories --- */

/* Nobody's lock on it: whose it was is dead. */
static void clear_if_dead(const char *parent, const char *name)
{
	AUTO_FREE char *path = xasprintf("%s/%s", parent, name);
	AUTO_CLOSE int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0 || flock(dir, LOCK_EX | LOCK_NB) < 0)
		return;
	if (cgroup_clear(path))
		log_info("cgroups of a dead service removed", "cgroup=%s", path);
	else
		log_warn("cgroups of a dead service cannot be removed", "cgroup=%s", path);
}

static void clear_dead(const char *parent)
{
	DIR *dir = opendir(parent);
	const struct dirent *d;

	if (dir == NULL)
		return;
	while ((d = readdir(dir)) != NULL)
		if (strncmp(d->d_name, PREFIX, sizeof PREFIX - 1) == 0 &&
		    d->d_name[sizeof PREFIX - 1 + strspn(d->d_name + sizeof PREFIX - 1, "0123456789")] == 0)
			clear_if_dead(parent, d->d_name);
	closedir(dir);
}

/* Another service that starts in this moment may take ours, not yet locked, for a dead
 * one's: then it is gone when we hold the lock, and is made again. */
static int tree_make(struct cgroup_tree *t)
{
	struct stat st, there;

	for (int i = 0; i < 3; i++) {
		if (mkdir(t->path, 0755) < 0)
			return -errno;
		t->ours = open(t->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (t->ours >= 0 && flock(t->ours, LOCK_EX | LOCK_NB) == 0 && fstat(t->ours, &st) == 0 &&
		    stat(t->path, &there) == 0 && st.st_ino == there.st_ino)
			return 0;
		if (t->ours >= 0)
			close(t->ours);
		t->ours = -1;
	}
	return -EAGAIN;
}

static void trees_drop(void)
{
	for (size_t i = 0; i < self.n_trees; i++) {
		struct cgroup_tree *t = &self.trees[i];

		if (t->ours >= 0) {
			close(t->ours);
			cgroup_clear(t->path);
		}
		free(t->path);
	}
	self.n_trees = 0;
	self.kind = NULL;
	self.cpu = NULL;
	self.parts = 0;
}

static int trees_make(char why[CGROUP_WHY])
{
	for (size_t i = 0; i < self.n_trees; i++) {
		struct cgroup_tree *t = &self.trees[i];

		t->ours = -1;
		t->path = xasprintf("%s/%s", t->parent, self.name);
	}
	for (size_t i = 0; i < self.n_trees; i++) {
		struct cgroup_tree *t = &self.trees[i];
		int rc;

		clear_dead(t->parent);
		rc = tree_make(t);
		if (rc < 0) {
			snprintf(why, CGROUP_WHY, "%s: %s", t->path, strerror(-rc));
			return rc;
		}
		if (self.kind->made != NULL)
			self.kind->made(t);
	}
	return 0;
}

/* --- which kind there is --- */

static const struct cgroup_tree *tree_to_kill(void)
{
	const struct cgroup_tree *t = tree_with(CGROUP_UNIFIED);

	if (t != NULL && faccessat(t->ours, "cgroup.kill", W_OK, 0) == 0)
		return t;
	t = tree_with(CGROUP_FREEZER);
	return t != NULL ? t : tree_with(CGROUP_PIDS | CGROUP_MEMORY);
}

static void choose_roles(void)
{
	self.killer = (size_t)(tree_to_kill() - self.trees);
	for (size_t i = 0; i < ARRAY_LEN(self.kind->cpu) && self.cpu == NULL; i++)
		if (tree_with(self.kind->cpu[i].part) != NULL)
			self.cpu = &self.kind->cpu[i];
	for (size_t i = 0; i < self.n_trees; i++)
		self.parts |= self.trees[i].parts & ALL_LIMITS;
	self.parts &= ~(unsigned)CGROUP_CPUACCT;
	self.parts |= self.cpu != NULL ? CGROUP_CPUACCT : 0;
}

static bool kind_try(const struct cgroup_kind *kind, const struct cgroup_place *places, size_t n,
		     bool named, char why[CGROUP_WHY])
{
	self.kind = kind;
	self.n_trees = kind->probe(places, n, named, self.trees, why);
	if (self.n_trees > 0 && trees_make(why) == 0) {
		choose_roles();
		return true;
	}
	trees_drop();
	return false;
}

static void tell(const char *reasons)
{
	char holds[CGROUP_TEXT], lacks[CGROUP_TEXT];

	if (self.kind == NULL)
		log_info("programs are held by setrlimit only", "kind=rlimit why=\"%s\"", reasons);
	else
		log_info("programs have cgroups", "kind=%s cgroup=%s holds=%s lacks=%s", self.kind->name,
			 self.trees[self.killer].path, parts_text(self.parts, holds),
			 parts_text(ALL_LIMITS & ~self.parts, lacks));
}

static bool choose(const struct cgroup_place *places, size_t n, bool named, char *reasons, size_t size)
{
	size_t len = 0;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		char why[CGROUP_WHY] = "";

		if (kind_try(kinds[i], places, n, named, why))
			return true;
		if (len < size)
			len += (size_t)snprintf(reasons + len, size - len, "%s%s: %s", len ? "; " : "",
						kinds[i]->name, why);
	}
	return false;
}

int cgroup_init(const struct cgroup_config *c, char *why, size_t why_size)
{
	struct cgroup_place places[CGROUP_PLACES];
	bool named = strcmp(c->where, "auto") != 0, found;
	char reasons[2 * CGROUP_WHY + 64] = "";
	size_t n;

	list_init(&self.leaving);
	self.last = 0;
	if (strcmp(c->where, "off") == 0) {
		tell("--cgroup off");
		return 0;
	}
	if (named && c->where[0] != '/') {
		snprintf(why, why_size, "--cgroup %s: auto, off, or a path as in /proc/self/cgroup, as /errand",
			 c->where);
		return -EINVAL;
	}
	snprintf(self.name, sizeof self.name, PREFIX "%d", (int)getpid());
	n = cgroup_places_read(c->self_cgroup ? c->self_cgroup : "/proc/self/cgroup",
			       c->mountinfo ? c->mountinfo : "/proc/self/mountinfo",
			       named ? c->where : NULL, places);
	found = choose(places, n, named, reasons, sizeof reasons);
	tell(reasons);
	/* What was not taken of them goes. */
	for (size_t i = 0; i < self.n_trees; i++)
		self.trees[i].parent = NULL;
	cgroup_places_deinit(places, n);
	if (found || !named)
		return 0;
	if (n == 0)
		snprintf(why, why_size, "--cgroup %s: no hierarchy has such a cgroup", c->where);
	else
		snprintf(why, why_size, "--cgroup %s cannot be used: %s", c->where, reasons);
	return -EOPNOTSUPP;
}

void cgroup_deinit(void)
{
	for (int i = 0; i < 100 && self.n_trees > 0 && cgroup_sweep() > 0; i++)
		usleep(10000);
	trees_drop();
}

const char *cgroup_kind(void)
{
	return self.kind != NULL ? self.kind->name : "rlimit";
}

/* --- limits --- */

static unsigned parts_asked(const struct errand_limits *l)
{
	if (l == NULL)
		return 0;
	return (l->memory > 0 ? CGROUP_MEMORY : 0u) | (l->cpus > 0 ? CGROUP_CPU : 0u) |
	       (l->cpu_time_ns > 0 ? CGROUP_CPUACCT : 0u) | (l->processes > 0 ? CGROUP_PIDS : 0u) |
	       (l->io_weight > 0 ? CGROUP_IO : 0u);
}

void cgroup_text_memory(const struct errand_limits *limits, char out[CGROUP_TEXT])
{
	snprintf(out, CGROUP_TEXT, "%lld", (long long)limits->memory);
}

void cgroup_text_processes(const struct errand_limits *limits, char out[CGROUP_TEXT])
{
	snprintf(out, CGROUP_TEXT, "%u", limits->processes);
}

/* The kernel takes no less than a millisecond. */
int64_t cgroup_quota_us(const struct errand_limits *limits)
{
	double us = limits->cpus * CGROUP_PERIOD_US;

	return us < 1000 ? 1000 : us > 1e12 ? (int64_t)1e12 : (int64_t)us;
}

static size_t add_rlimit(struct spawn_rlimit *out, size_t n, int resource, int64_t value, int64_t hard)
{
	if (value > 0)
		out[n++] = (struct spawn_rlimit){resource, {(rlim_t)value, (rlim_t)hard}};
	return n;
}

size_t cgroup_rlimits(const struct cgroup *g, const struct errand_limits *l,
		      struct spawn_rlimit out[CGROUP_RLIMITS])
{
	unsigned left = parts_asked(l) & ~(g != NULL ? g->held : 0u);
	size_t n = 0;

	if (l == NULL)
		return 0;
	n = add_rlimit(out, n, RLIMIT_NOFILE, l->open_files, l->open_files);
	n = add_rlimit(out, n, RLIMIT_FSIZE, l->file_size, l->file_size);
	if (left & CGROUP_MEMORY)
		n = add_rlimit(out, n, RLIMIT_AS, l->memory, l->memory);
	if (left & CGROUP_PIDS)
		n = add_rlimit(out, n, RLIMIT_NPROC, l->processes, l->processes);
	if (left & CGROUP_CPUACCT) {
		int64_t s = (l->cpu_time_ns + NS_PER_S - 1) / NS_PER_S;

		/* SIGXCPU, and a second later SIGKILL. */
		n = add_rlimit(out, n, RLIMIT_CPU, s, s + 1);
	}
	return n;
}

/* --- a child's directories --- */

static int child_write(const struct cgroup_tree *t, const struct cgroup *g, const char *file,
		       const char *text)
{
	char path[CGROUP_TEXT];

	snprintf(path, sizeof path, "%s/%s", g->name, file);
	return cgroup_write(t->ours, path, text);
}

static int settings_write(struct cgroup *g, const struct errand_limits *limits)
{
	unsigned asked = parts_asked(limits) & self.parts;

	for (size_t i = 0; i < self.kind->n_settings; i++) {
		const struct cgroup_setting *s = &self.kind->settings[i];
		char text[CGROUP_TEXT];
		int rc;

		if (!(asked & s->part))
			continue;
		s->text(limits, text);
		rc = child_write(tree_with(s->part), g, s->file, text);
		if (rc < 0 && !s->optional) {
			log_warn("limit not set", "file=%s value=\"%s\" error=%s", s->file, text,
				 strerrorname_np(-rc));
			return rc;
		}
	}
	g->held = asked;
	return 0;
}

/* Version 1 tells of it through an eventfd; who cannot have that sees it at the end only. */
static void oom_watch(struct cgroup *g)
{
	const struct cgroup_tree *t = tree_with(CGROUP_MEMORY);
	char path[CGROUP_TEXT], text[CGROUP_TEXT];
	AUTO_CLOSE int control = -1;

	snprintf(path, sizeof path, "%s/%s", g->name, self.kind->oom.file);
	control = openat(t->ours, path, O_RDONLY | O_CLOEXEC);
	g->oom_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	snprintf(text, sizeof text, "%d %d", g->oom_fd, control);
	if (control >= 0 && g->oom_fd >= 0 && child_write(t, g, "cgroup.event_control", text) == 0)
		return;
	if (g->oom_fd >= 0)
		close(g->oom_fd);
	g->oom_fd = -1;
}

static bool is_needed(size_t tree, unsigned asked)
{
	unsigned parts = self.trees[tree].parts;

	return tree == self.killer || (parts & (asked | CGROUP_MEMORY)) != 0 ||
	       (self.cpu != NULL && tree_with(self.cpu->part) == &self.trees[tree]);
}

static int dirs_make(struct cgroup *g, const struct errand_limits *limits)
{
	unsigned asked = parts_asked(limits) & ~(unsigned)CGROUP_CPUACCT;

	for (size_t i = 0; i < self.n_trees; i++) {
		if (!is_needed(i, asked))
			continue;
		if (mkdirat(self.trees[i].ours, g->name, 0755) < 0) {
			int err = errno;

			log_warn("no cgroup for a program", "cgroup=%s/%s error=%s", self.trees[i].path,
				 g->name, strerrorname_np(err));
			return -err;
		}
		g->used |= 1u << i;
	}
	return settings_write(g, limits);
}

/* false: some are in use still. */
static bool dirs_remove(struct cgroup *g)
{
	for (size_t i = 0; i < self.n_trees; i++)
		if ((g->used & 1u << i) &&
		    (unlinkat(self.trees[i].ours, g->name, AT_REMOVEDIR) == 0 || errno != EBUSY))
			g->used &= ~(1u << i);
	return g->used == 0;
}

static bool is_refused(const struct errand_limits *limits)
{
	unsigned missing = parts_asked(limits) & ~self.parts;
	char text[CGROUP_TEXT];

	if (limits == NULL || !limits->whole_tree || (self.kind != NULL && missing == 0))
		return false;
	log_warn("limits of a whole tree cannot be had here", "kind=%s missing=%s", cgroup_kind(),
		 parts_text(missing, text));
	return true;
}

int cgroup_new(const struct errand_limits *limits, struct cgroup **out)
{
	struct cgroup *g;
	int rc;

	*out = NULL;
	if (is_refused(limits))
		return -EOPNOTSUPP;
	if (self.kind == NULL)
		return 0;
	g = xcalloc(1, sizeof *g);
	g->oom_fd = -1;
	snprintf(g->name, sizeof g->name, "%lu", ++self.last);
	rc = dirs_make(g, limits);
	if (rc < 0) {
		dirs_remove(g);
		free(g);
		/* Counting is not worth a failure. */
		return parts_asked(limits) == 0 && !(limits && limits->whole_tree) ? 0 : rc;
	}
	if (self.kind->oom_kills_one && (g->held & CGROUP_MEMORY))
		oom_watch(g);
	*out = g;
	return 0;
}

int cgroup_joins(const struct cgroup *g, int fds[CGROUP_JOINS])
{
	int n = 0;

	for (size_t i = 0; g != NULL && i < self.n_trees; i++) {
		char path[CGROUP_TEXT];

		if (!(g->used & 1u << i))
			continue;
		snprintf(path, sizeof path, "%s/cgroup.procs", g->name);
		fds[n] = openat(self.trees[i].ours, path, O_WRONLY | O_CLOEXEC);
		if (fds[n] < 0) {
			int err = errno;

			while (n-- > 0)
				close(fds[n]);
			return -err;
		}
		n++;
	}
	return n;
}

int cgroup_oom_fd(const struct cgroup *g)
{
	return g->oom_fd;
}

/* --- what came of it --- */

static int64_t child_read(const struct cgroup *g, const struct cgroup_reading *r)
{
	const struct cgroup_tree *t = r != NULL ? tree_with(r->part) : NULL;
	char path[CGROUP_TEXT], text[1024];
	const char *at = text;
	char *end;
	int64_t value;

	if (t == NULL)
		return -1;
	snprintf(path, sizeof path, "%s/%s", g->name, r->file);
	if (cgroup_read(t->ours, path, text, sizeof text) < 0)
		return -1;
	for (size_t len = r->key ? strlen(r->key) : 0; len > 0; at++) {
		if (strncmp(at, r->key, len) == 0 && at[len] == ' ') {
			at += len;
			break;
		}
		if ((at = strchr(at, '\n')) == NULL)
			return -1;
	}
	value = strtoll(at, &end, 10);
	return end == at ? -1 : value * r->scale;
}

int64_t cgroup_cpu_ns(const struct cgroup *g)
{
	return child_read(g, self.cpu);
}

void cgroup_usage(const struct cgroup *g, struct cgroup_usage *out)
{
	uint64_t told;

	out->peak_memory = child_read(g, &self.kind->peak);
	out->cpu_ns = cgroup_cpu_ns(g);
	/* Whoever is told of it and kills the tree may be faster than the kernel's own. */
	out->oom = child_read(g, &self.kind->oom) > 0 ||
		   (g->oom_fd >= 0 && read(g->oom_fd, &told, sizeof told) > 0);
}

/* How the name of its cgroups ends. */
static void mark_of(const struct cgroup *g, char out[CGROUP_TEXT])
{
	snprintf(out, CGROUP_TEXT, "/%s/%s", self.name, g->name);
}

void cgroup_kill(const struct cgroup *g)
{
	char mark[CGROUP_TEXT];

	mark_of(g, mark);
	cgroup_kill_in(self.trees[self.killer].ours, g->name, mark);
}

void cgroup_free(struct cgroup *g)
{
	if (g->oom_fd >= 0)
		close(g->oom_fd);
	if (dirs_remove(g)) {
		free(g);
		return;
	}
	cgroup_kill(g);
	list_push_back(&self.leaving, &g->node);
}

/* By force: with all that is in them. */
static bool dirs_clear(struct cgroup *g)
{
	char mark[CGROUP_TEXT];

	mark_of(g, mark);
	cgroup_kill(g);
	for (size_t i = 0; i < self.n_trees; i++)
		if ((g->used & 1u << i) && cgroup_remove_in(self.trees[i].ours, g->name, mark))
			g->used &= ~(1u << i);
	return g->used == 0;
}

size_t cgroup_sweep(void)
{
	size_t n_left = 0;

	if (self.kind == NULL)
		return 0;
	LIST_FOREACH(it, &self.leaving) {
		struct cgroup *g = LIST_ENTRY(it, struct cgroup, node);

		if (!dirs_clear(g)) {
			n_left++;
			continue;
		}
		list_remove(&g->node);
		free(g);
	}
	return n_left;
}

/* The killer's first: its cgroups have all of a child's processes, as each tree's. */
void cgroup_bury(void)
{
	if (self.n_trees > 0)
		cgroup_clear(self.trees[self.killer].path);
	for (size_t i = 0; i < self.n_trees; i++)
		cgroup_clear(self.trees[i].path);
}
