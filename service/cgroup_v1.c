/* cgroup_v1.c: hierarchies of version 1, each its own tree of directories; the tree of
 * version 2 beside them, which has no controllers then, kills and counts CPU time. Its
 * weight for disks is of another scale and of few schedulers: left alone. */
#define _GNU_SOURCE
#include <stdio.h>
#include <unistd.h>

#include "base/util.h"
#include "service/cgroup_engine.h"

static size_t probe(const struct cgroup_place *places, size_t n, bool named,
		    struct cgroup_tree out[CGROUP_PLACES], char why[CGROUP_WHY])
{
	unsigned parts = 0;
	size_t n_out = 0;

	for (size_t i = 0; i < n; i++) {
		if (access(places[i].dir, W_OK) < 0)
			continue;
		parts |= places[i].parts;
		out[n_out++] = (struct cgroup_tree){.parts = places[i].parts, .parent = places[i].dir};
	}
	if (parts & (CGROUP_MEMORY | CGROUP_PIDS))
		return n_out;
	snprintf(why, CGROUP_WHY, "no hierarchy of memory or pids that may be written");
	return 0;
}

static void text_period(const struct errand_limits *limits, char out[CGROUP_TEXT])
{
	snprintf(out, CGROUP_TEXT, "%d", CGROUP_PERIOD_US);
}

static void text_quota(const struct errand_limits *limits, char out[CGROUP_TEXT])
{
	snprintf(out, CGROUP_TEXT, "%lld", (long long)cgroup_quota_us(limits));
}

/* memsw is never below memory. */
static const struct cgroup_setting settings[] = {
	{CGROUP_MEMORY, "memory.limit_in_bytes", cgroup_text_memory, false},
	{CGROUP_MEMORY, "memory.memsw.limit_in_bytes", cgroup_text_memory, true},
	{CGROUP_CPU, "cpu.cfs_period_us", text_period, false},
	{CGROUP_CPU, "cpu.cfs_quota_us", text_quota, false},
	{CGROUP_PIDS, "pids.max", cgroup_text_processes, false},
};

const struct cgroup_kind cgroup_v1 = {
	.name = "cgroup1",
	.probe = probe,
	.settings = settings,
	.n_settings = ARRAY_LEN(settings),
	.peak = {CGROUP_MEMORY, "memory.max_usage_in_bytes", NULL, 1},
	.oom = {CGROUP_MEMORY, "memory.oom_control", "oom_kill", 1},
	.cpu = {{CGROUP_UNIFIED, "cpu.stat", "usage_usec", 1000}, {CGROUP_CPUACCT, "cpuacct.usage", NULL, 1}},
	.oom_kills_one = true,
};
