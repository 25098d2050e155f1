/* cgroup_engine.h: what cgroup.c, the kinds (cgroup_v1.c, cgroup_v2.c) and
 * cgroup_kill.c share; for nobody else. */
#ifndef SERVICE_CGROUP_ENGINE_H
#define SERVICE_CGROUP_ENGINE_H

#include "service/cgroup.h"
#include "service/cgroup_place.h"

enum { CGROUP_NAME = 24, CGROUP_TEXT = 64, CGROUP_WHY = 256 };

/* A hierarchy in use. */
struct cgroup_tree {
	unsigned parts;
	char *parent;   /* the directory that was given to us */
	char *path;     /* ours in it: parent/errand.PID */
	int ours;       /* open and locked */
};

/* One line of what is written into a child's directory. */
struct cgroup_setting {
	unsigned part;
	const char *file;
	void (*text)(const struct errand_limits *limits, char out[CGROUP_TEXT]);
	bool optional;  /* not each kernel has the file */
};

/* A number to be read: the whole file, or what stands behind `key`. */
struct cgroup_reading {
	unsigned part;
	const char *file, *key;
	int64_t scale;
};

struct cgroup_kind {
	const char *name;
	/* Which of the places serve, in out: parts, and the parent; how many. 0 with why. named: the
	 * administrator named the cgroup. */
	size_t (*probe)(const struct cgroup_place *places, size_t n, bool named,
			struct cgroup_tree out[CGROUP_PLACES], char why[CGROUP_WHY]);
	/* Our directory in a tree was made. NULL. */
	void (*made)(struct cgroup_tree *tree);
	const struct cgroup_setting *settings;
	size_t n_settings;
	struct cgroup_reading peak, oom, cpu[2]; /* the first of cpu that its trees have */
	bool oom_kills_one; /* of the tree; the rest is for us */
};

extern const struct cgroup_kind cgroup_v1, cgroup_v2;

/* Writes, reads a small file below an open directory. 0 or -errno. */
int cgroup_write(int dir, const char *file, const char *text);
int cgroup_read(int dir, const char *file, char *text, size_t size);
void cgroup_text_memory(const struct errand_limits *limits, char out[CGROUP_TEXT]);
void cgroup_text_processes(const struct errand_limits *limits, char out[CGROUP_TEXT]);
/* Microseconds in each CGROUP_PERIOD_US. */
#define CGROUP_PERIOD_US 100000
int64_t cgroup_quota_us(const struct errand_limits *limits);

/* cgroup_kill.c. System calls and the stack only: the warden uses them too. */
/* SIGKILL to all of the cgroup `name` below the open directory dir. mark: the end of that
 * cgroup's name, "/errand.1/7", so that a pid that was just given to another is left alone. */
void cgroup_kill_in(int dir, const char *name, const char *mark);
/* The same, with the cgroups that are made in it, and removes it; false: not yet. */
bool cgroup_remove_in(int dir, const char *name, const char *mark);
/* Kills all of the directory's children, removes them and the directory itself, waiting for the dead
 * for a second or two; false when something is left. */
bool cgroup_clear(const char *path);

#endif
