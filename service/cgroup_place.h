/* cgroup_place.h: where a process is in each hierarchy of cgroups, and as which
 * directory that can be reached: /proc/self/cgroup and /proc/self/mountinfo. */
#ifndef SERVICE_CGROUP_PLACE_H
#define SERVICE_CGROUP_PLACE_H

#include <stddef.h>

/* What a hierarchy (or several together) can do. */
enum cgroup_part {
	CGROUP_MEMORY = 1,
	CGROUP_CPU = 2,
	CGROUP_PIDS = 4,
	CGROUP_IO = 8,
	CGROUP_CPUACCT = 16,  /* counts CPU time */
	CGROUP_FREEZER = 32,
	CGROUP_UNIFIED = 64,  /* the tree of version 2, whatever it controls */
};

enum { CGROUP_PLACES = 8 };

struct cgroup_place {
	unsigned parts; /* more than one where controllers are mounted together */
	char *dir;      /* owned */
};

/* Those of interest that are mounted; how many. path: instead of the process's own;
 * NULL. The files as in /proc/self. */
size_t cgroup_places_read(const char *self_cgroup, const char *mountinfo, const char *path,
			  struct cgroup_place out[CGROUP_PLACES]);
void cgroup_places_deinit(struct cgroup_place *places, size_t n);

#endif
