/* test_cgroup_v2.c: what is written and read in a tree of version 2, and where the
 * service is found, against directories of ordinary files: mkdir fills them as the kernel
 * does, and writes of two files do what they do there. What only a kernel can show is not
 * shown by it. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/util.h"
#include "service/cgroup.h"
#include "service/cgroup_place.h"

static char top[64];            /* where the tree is mounted */
static bool delegated = true;
static int n_busy;              /* so many removals fail */
static const char *lacking;     /* a file the kernel does not have */

/* --- a kernel of files --- */

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static const char *get(const char *path)
{
	static char text[512];
	FILE *f = fopen(path, "re");

	if (f == NULL)
		return NULL;
	text[fread(text, 1, sizeof text - 1, f)] = 0;
	fclose(f);
	return text;
}

static const char *at(const char *dir, const char *name)
{
	static char paths[4][600];
	static unsigned last;
	char *path = paths[last++ % 4];

	assert_true(strlen(dir) + strlen(name) + 2 <= sizeof paths[0]);
	strcpy(stpcpy(stpcpy(path, dir), "/"), name);
	return path;
}

/* The files of a new cgroup, whose parent hands on these controllers. */
static void fill(const char *dir, const char *controllers)
{
	static const char *const always[] = {"cgroup.procs", "cgroup.subtree_control", "cgroup.kill",
					     "cgroup.events", "cpu.stat"};
	static const struct {
		const char *controller, *file;
	} files[] = {
		{"memory", "memory.max"}, {"memory", "memory.swap.max"}, {"memory", "memory.oom.group"},
		{"memory", "memory.peak"}, {"memory", "memory.events"}, {"cpu", "cpu.max"},
		{"pids", "pids.max"}, {"io", "io.weight"},
	};

	put(at(dir, "cgroup.controllers"), controllers);
	for (size_t i = 0; i < ARRAY_LEN(always); i++)
		put(at(dir, always[i]), "");
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (strstr(controllers, files[i].controller) != NULL &&
		    (lacking == NULL || strcmp(lacking, files[i].file) != 0))
			put(at(dir, files[i].file), "");
}

static void path_of(int fd, char *out, size_t size)
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	n = readlink(link, out, size - 1);
	out[n < 0 ? 0 : n] = 0;
}

static bool is_ours(const char *path)
{
	return top[0] != 0 && strncmp(path, top, strlen(top)) == 0;
}

int mkdirat(int dir, const char *name, mode_t mode)
{
	char parent[512], path[1024];

	if (syscall(SYS_mkdirat, dir, name, mode) < 0)
		return -1;
	if (name[0] == '/') {
		snprintf(path, sizeof path, "%s", name);
	} else {
		path_of(dir, parent, sizeof parent);
		snprintf(path, sizeof path, "%s/%s", parent, name);
	}
	snprintf(parent, sizeof parent, "%.*s", (int)(strrchr(path, '/') - path), path);
	if (is_ours(path)) {
		const char *handed = get(at(parent, "cgroup.subtree_control"));

		fill(path, handed ? handed : "");
	}
	return 0;
}

int mkdir(const char *path, mode_t mode)
{
	return mkdirat(AT_FDCWD, path, mode);
}

/* A cgroup goes with its files. */
int unlinkat(int dir, const char *name, int flags)
{
	int fd = flags & AT_REMOVEDIR ? openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	const struct dirent *d;
	DIR *list;

	if (flags & AT_REMOVEDIR && n_busy > 0) {
		n_busy--;
		if (fd >= 0)
			close(fd);
		errno = EBUSY;
		return -1;
	}
	if (fd >= 0 && (list = fdopendir(fd)) != NULL) {
		while ((d = readdir(list)) != NULL)
			if (d->d_type == DT_REG)
				syscall(SYS_unlinkat, fd, d->d_name, 0);
		closedir(list);
	}
	return (int)syscall(SYS_unlinkat, dir, name, flags);
}

int rmdir(const char *path)
{
	return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

/* Where there are processes memory and io are not handed on; if cpu or pids were, the
 * children would be invalid. */
static ssize_t write_control(const char *path, const char *text, size_t len)
{
	char dir[512], more[600];

	snprintf(dir, sizeof dir, "%.*s", (int)(strrchr(path, '/') - path), path);
	if (*get(at(dir, "cgroup.procs")) != 0 && strcmp(dir, top) != 0) {
		assert_true(strcmp(text, "+memory") == 0 || strcmp(text, "+io") == 0);
		errno = EBUSY;
		return -1;
	}
	if (text[0] != '+' || strstr(get(at(dir, "cgroup.controllers")), text + 1) == NULL) {
		errno = EINVAL;
		return -1;
	}
	snprintf(more, sizeof more, "%s%s ", get(path), text + 1);
	put(path, more);
	return (ssize_t)len;
}

/* A process is in one cgroup: here, in the one above or below no more. */
static ssize_t write_procs(const char *path, const char *pid, size_t len)
{
	static char before[512];
	char line[64], other[512];
	char *there;

	snprintf(line, sizeof line, "%s\n", pid);
	snprintf(other, sizeof other, "%s/own/cgroup.procs", top);
	if (strcmp(other, path) == 0)
		snprintf(other, sizeof other, "%s/own/service/cgroup.procs", top);
	snprintf(before, sizeof before, "%s", get(other) ? get(other) : "");
	if ((there = strstr(before, line)) != NULL) {
		memmove(there, there + strlen(line), strlen(there + strlen(line)) + 1);
		put(other, before);
	}
	snprintf(before, sizeof before, "%s%s", get(path), line);
	put(path, before);
	return (ssize_t)len;
}

ssize_t write(int fd, const void *data, size_t len)
{
	char path[512];
	const char *name;

	path_of(fd, path, sizeof path);
	name = strrchr(path, '/');
	if (is_ours(path) && strcmp(name, "/cgroup.subtree_control") == 0)
		return write_control(path, data, len);
	if (is_ours(path) && strcmp(name, "/cgroup.procs") == 0)
		return write_procs(path, data, len);
	return syscall(SYS_write, fd, data, len);
}

ssize_t getxattr(const char *path, const char *name, void *value, size_t size)
{
	errno = ENODATA;
	return delegated && strcmp(name, "trusted.delegate") == 0 ? 1 : -1;
}

/* --- the machine: /own is the service's cgroup --- */

static char own[128], ours[160], self_cgroup[128], mountinfo[128];

static int setup(void **state)
{
	char text[512], pid[32];

	strcpy(top, "/tmp/test_cgroup2-XXXXXX");
	if (mkdtemp(top) == NULL)
		return -1;
	snprintf(own, sizeof own, "%s/own", top);
	snprintf(ours, sizeof ours, "%s/errand.%d", own, (int)getpid());
	fill(top, "memory cpu pids io ");
	put(at(top, "cgroup.subtree_control"), "memory cpu pids io ");
	assert_int_equal(mkdir(own, 0755), 0);
	snprintf(pid, sizeof pid, "%d\n", (int)getpid());
	put(at(own, "cgroup.procs"), pid);
	snprintf(self_cgroup, sizeof self_cgroup, "%s/self", top);
	put(self_cgroup, "1:name=systemd:/elsewhere\n0::/own\n");
	snprintf(mountinfo, sizeof mountinfo, "%s/mounts", top);
	snprintf(text, sizeof text, "22 1 0:21 / /proc rw shared:5 - proc proc rw\n"
		 "30 23 0:27 / %s rw,nosuid shared:9 master:1 - cgroup2 cgroup2 rw,nsdelegate\n", top);
	put(mountinfo, text);
	delegated = true;
	n_busy = 0;
	lacking = NULL;
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	cgroup_deinit();
	snprintf(command, sizeof command, "rm -rf %s", top);
	top[0] = 0;
	return system(command);
}

static int init(const char *where, char *why, size_t size)
{
	const struct cgroup_config c = {.where = where, .self_cgroup = self_cgroup, .mountinfo = mountinfo};

	return cgroup_init(&c, why, size);
}

static void init_auto(void)
{
	char why[256];

	assert_int_equal(init("auto", why, sizeof why), 0);
	assert_string_equal(cgroup_kind(), "cgroup2");
}

/* --- the service's place --- */

static void test_moves_into_a_leaf(void **state)
{
	char pid[32];

	init_auto();
	snprintf(pid, sizeof pid, "%d\n", (int)getpid());
	assert_string_equal(get(at(own, "cgroup.procs")), "");
	assert_string_equal(get(at(own, "service/cgroup.procs")), pid);
	assert_string_equal(get(at(own, "cgroup.subtree_control")), "memory cpu pids io ");
	assert_string_equal(get(at(ours, "cgroup.subtree_control")), "memory cpu pids io ");
}

/* The next service in the same cgroup, whose parent moved away for it. */
static void test_a_leaf_that_is_there(void **state)
{
	assert_int_equal(mkdir(at(own, "service"), 0755), 0);
	init_auto();
}

static void test_others_are_not_moved(void **state)
{
	char both[64], why[256];

	snprintf(both, sizeof both, "1\n%d\n", (int)getpid());
	put(at(own, "cgroup.procs"), both);
	assert_int_equal(init("auto", why, sizeof why), 0);
	assert_string_equal(cgroup_kind(), "rlimit");
	assert_string_equal(get(at(own, "cgroup.procs")), both);
	assert_int_equal(access(at(own, "service"), F_OK), -1);
	assert_int_equal(access(ours, F_OK), -1);
	assert_int_equal(init("/own", why, sizeof why), -EOPNOTSUPP);
	assert_non_null(strstr(why, "processes of others"));
}

static void test_what_is_not_delegated(void **state)
{
	char why[256];

	delegated = false;
	if (geteuid() != 0)
		skip(); /* then the rights on the files decide */
	assert_int_equal(init("auto", why, sizeof why), 0);
	assert_string_equal(cgroup_kind(), "rlimit");
	assert_string_equal(get(at(own, "cgroup.subtree_control")), "");
}

/* Whoever names it gives it; and the service stays where it is. */
static void test_a_named_one(void **state)
{
	char why[256], given[128];

	delegated = false;
	snprintf(given, sizeof given, "%s/given", top);
	assert_int_equal(mkdir(given, 0755), 0);
	assert_int_equal(init("/given", why, sizeof why), 0);
	assert_string_equal(cgroup_kind(), "cgroup2");
	assert_string_equal(get(at(given, "cgroup.subtree_control")), "memory cpu pids io ");
	assert_string_equal(get(at(own, "cgroup.subtree_control")), "");
	cgroup_deinit();
	assert_int_equal(init("/none", why, sizeof why), -EOPNOTSUPP);
}

static void test_without_controllers(void **state)
{
	char why[256];

	put(at(own, "cgroup.controllers"), "cpu hugetlb");
	assert_int_equal(init("auto", why, sizeof why), 0);
	assert_string_equal(cgroup_kind(), "rlimit");
	assert_string_equal(get(at(own, "cgroup.procs")), (snprintf(why, sizeof why, "%d\n", (int)getpid()), why));
}

static void test_with_some_controllers(void **state)
{
	const struct errand_limits limits = {.processes = 5, .whole_tree = 1};
	struct cgroup *g;

	put(at(own, "cgroup.controllers"), "memory cpu");
	init_auto();
	assert_int_equal(cgroup_new(&limits, &g), -EOPNOTSUPP);
}

static void test_a_dead_service_is_cleared_away(void **state)
{
	char old[160];

	snprintf(old, sizeof old, "%s/errand.1", own);
	assert_int_equal(mkdir(old, 0755), 0);
	assert_int_equal(mkdir(at(old, "7"), 0755), 0);
	assert_int_equal(mkdir(at(own, "errand.mine"), 0755), 0);
	init_auto();
	assert_int_equal(access(old, F_OK), -1);
	assert_int_equal(access(at(own, "errand.mine"), F_OK), 0);
}

/* --- a child's --- */

static const struct errand_limits all = {
	.memory = 1LL << 30, .cpus = 1.5, .processes = 64, .io_weight = 250, .cpu_time_ns = 1,
	.open_files = 20, .whole_tree = 1,
};

static void test_limits_are_written(void **state)
{
	struct spawn_rlimit left[CGROUP_RLIMITS];
	struct cgroup *g;

	init_auto();
	assert_int_equal(cgroup_new(&all, &g), 0);
	assert_string_equal(get(at(ours, "1/memory.max")), "1073741824");
	assert_string_equal(get(at(ours, "1/memory.swap.max")), "0");
	assert_string_equal(get(at(ours, "1/memory.oom.group")), "1");
	assert_string_equal(get(at(ours, "1/cpu.max")), "150000 100000");
	assert_string_equal(get(at(ours, "1/pids.max")), "64");
	assert_string_equal(get(at(ours, "1/io.weight")), "250");
	assert_int_equal(cgroup_rlimits(g, &all, left), 1);
	assert_int_equal(left[0].resource, RLIMIT_NOFILE);
	assert_int_equal(cgroup_oom_fd(g), -1);
	cgroup_free(g);
	assert_int_equal(access(at(ours, "1"), F_OK), -1);
}

static void test_only_what_is_asked_for(void **state)
{
	struct cgroup *g;

	init_auto();
	assert_int_equal(cgroup_new(NULL, &g), 0);
	assert_string_equal(get(at(ours, "1/memory.max")), "");
	assert_string_equal(get(at(ours, "1/cpu.max")), "");
	cgroup_free(g);
}

static void test_files_that_are_not_there(void **state)
{
	struct cgroup *g;

	lacking = "memory.swap.max"; /* a kernel without swap */
	init_auto();
	assert_int_equal(cgroup_new(&all, &g), 0);
	cgroup_free(g);
	lacking = "pids.max";
	assert_int_equal(cgroup_new(&all, &g), -ENOENT);
	assert_null(g);
	assert_int_equal(access(at(ours, "2"), F_OK), -1);
}

static void test_joining_and_killing(void **state)
{
	struct cgroup *g;
	int fds[CGROUP_JOINS];

	init_auto();
	assert_int_equal(cgroup_new(NULL, &g), 0);
	assert_int_equal(cgroup_joins(g, fds), 1);
	assert_int_equal(write(fds[0], "0", 1), 1);
	close(fds[0]);
	assert_string_equal(get(at(ours, "1/cgroup.procs")), "0\n");
	cgroup_kill(g);
	assert_string_equal(get(at(ours, "1/cgroup.kill")), "1");
	cgroup_free(g);
	assert_int_equal(cgroup_joins(NULL, fds), 0);
}

static void test_usage(void **state)
{
	struct cgroup_usage used;
	struct cgroup *g;

	init_auto();
	assert_int_equal(cgroup_new(NULL, &g), 0);
	put(at(ours, "1/memory.peak"), "73400320\n");
	put(at(ours, "1/memory.events"), "low 0\nhigh 0\nmax 12\noom 1\noom_kill 0\noom_group_kill 0\n");
	put(at(ours, "1/cpu.stat"), "usage_usec 1234567\nuser_usec 1000000\nsystem_usec 234567\n");
	cgroup_usage(g, &used);
	assert_int_equal(used.peak_memory, 73400320);
	assert_int_equal(used.cpu_ns, 1234567000);
	assert_false(used.oom);
	put(at(ours, "1/memory.events"), "low 0\nhigh 0\nmax 12\noom 1\noom_kill 3\noom_group_kill 1\n");
	assert_int_equal(unlink(at(ours, "1/memory.peak")), 0); /* Linux before 5.19 */
	put(at(ours, "1/cpu.stat"), "nonsense\n");
	cgroup_usage(g, &used);
	assert_true(used.oom);
	assert_int_equal(used.peak_memory, -1);
	assert_int_equal(used.cpu_ns, -1);
	cgroup_free(g);
}

static void test_what_is_busy_goes_later(void **state)
{
	struct cgroup *g;

	init_auto();
	assert_int_equal(cgroup_new(NULL, &g), 0);
	n_busy = 3; /* now, and twice in the first sweep */
	cgroup_free(g);
	assert_int_equal(cgroup_sweep(), 1);
	assert_string_equal(get(at(ours, "1/cgroup.kill")), "1");
	assert_int_equal(cgroup_sweep(), 0);
	assert_int_equal(access(at(ours, "1"), F_OK), -1);
}

/* --- where it is --- */

static void test_places(void **state)
{
	struct cgroup_place places[CGROUP_PLACES];
	char text[1024];

	assert_int_equal(mkdir(at(top, "cpu"), 0755), 0);
	assert_int_equal(mkdir(at(top, "cpu/inner"), 0755), 0);
	snprintf(text, sizeof text,
		 "31 23 0:28 /outer %s/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
		 "32 23 0:29 / %s/memory rw - cgroup cgroup rw,memory\n"   /* not there */
		 "33 23 0:30 / %s/pids\\040x rw - cgroup cgroup rw,pids\n" /* a blank in it */
		 "34 23 0:31 / %s rw opt:1 - cgroup2 none rw\n"
		 "35 23 0:31 / /again rw - cgroup2 none rw\n"
		 "short\n", top, top, top, top);
	put(mountinfo, text);
	put(self_cgroup, "4:cpu,cpuacct:/outer/inner\n3:memory:/\n2:pids:/\nnonsense\n0::/own\n");
	assert_int_equal(cgroup_places_read(self_cgroup, mountinfo, NULL, places), 2);
	assert_int_equal(places[0].parts, CGROUP_CPU | CGROUP_CPUACCT);
	assert_string_equal(places[0].dir, at(top, "cpu/inner"));
	assert_int_equal(places[1].parts, CGROUP_UNIFIED);
	assert_string_equal(places[1].dir, own);
	cgroup_places_deinit(places, 2);
	/* Outside what the container sees; and not below what is mounted. */
	put(self_cgroup, "4:cpu,cpuacct:/outerspace\n0::/../own\n");
	assert_int_equal(cgroup_places_read(self_cgroup, mountinfo, NULL, places), 0);
	assert_int_equal(cgroup_places_read("/nonexistent", mountinfo, NULL, places), 0);
	assert_int_equal(cgroup_places_read(self_cgroup, "/nonexistent", NULL, places), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_moves_into_a_leaf),
		TEST(test_a_leaf_that_is_there),
		TEST(test_others_are_not_moved),
		TEST(test_what_is_not_delegated),
		TEST(test_a_named_one),
		TEST(test_without_controllers),
		TEST(test_with_some_controllers),
		TEST(test_a_dead_service_is_cleared_away),
		TEST(test_limits_are_written),
		TEST(test_only_what_is_asked_for),
		TEST(test_files_that_are_not_there),
		TEST(test_joining_and_killing),
		TEST(test_usage),
		TEST(test_what_is_busy_goes_later),
		TEST(test_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
