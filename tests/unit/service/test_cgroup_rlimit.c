/* test_cgroup_rlimit.c: limits where there are no cgroups: of each process, by setrlimit;
 * and what is refused then. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "process_rig.h"
#include "service/cgroup.h"

static void test_rlimits_are_set(void **state)
{
	const struct errand_limits limits = {.memory = 300 * MIB, .cpu_time_ns = 1500 * NS_PER_MS,
					     .processes = 77, .open_files = 33, .file_size = 4096};
	const char *argv[] = {"sh", "-c", "ulimit -v; ulimit -t; ulimit -n; ulimit -f;"
			      "grep 'Max processes' /proc/self/limits", NULL};
	struct run r = RUN_INIT;

	start_limited(&r, argv, &limits);
	run_wait(&r);
	assert_non_null(strstr(run_text(&r, 1), "307200\n2\n33\n8\n"));
	assert_non_null(strstr(run_text(&r, 1), " 77 "));
	assert_string_equal(r.end.isolation, "rlimit");
	assert_false(r.end.oom);
	assert_true(r.end.peak_memory > 100 << 10);
	run_deinit(&r);
}

static void test_cpu_time_without_cgroup(void **state)
{
	const struct errand_limits limits = {.cpu_time_ns = NS_PER_S};
	const char *argv[] = {self_path, "--spin", "5000", NULL};
	struct run r = RUN_INIT;

	start_limited(&r, argv, &limits);
	run_wait(&r);
	assert_int_equal(WTERMSIG(r.status), SIGXCPU);
	assert_true(r.end.cpu_ns >= 500 * NS_PER_MS); /* counted in ticks */
	run_deinit(&r);
}

static void test_whole_tree_is_refused(void **state)
{
	const struct errand_limits limits = {.memory = MIB, .whole_tree = 1}, none = {.whole_tree = 1};
	const char *argv[] = {"true", NULL};
	struct process_params p = {.argv = argv, .limits = &limits};
	struct run r = RUN_INIT;

	assert_int_equal(run_start_as(&r, &p), -EOPNOTSUPP);
	p.limits = &none;
	assert_int_equal(run_start_as(&r, &p), -EOPNOTSUPP);
	assert_int_equal(r.n_exits, 0);
	run_deinit(&r);
}

static void test_wrong_places(void **state)
{
	char why[256] = "";
	struct cgroup_config c = {.where = "/no/such/cgroup"};

	assert_int_equal(cgroup_init(&c, why, sizeof why), -EOPNOTSUPP);
	assert_non_null(strstr(why, "--cgroup /no/such/cgroup: no hierarchy has"));
	c.where = "here";
	assert_int_equal(cgroup_init(&c, why, sizeof why), -EINVAL);
	assert_non_null(strstr(why, "--cgroup here"));
	assert_string_equal(cgroup_kind(), "rlimit");
}

static int setup(void **state)
{
	return process_init();
}

static int teardown(void **state)
{
	process_deinit();
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rlimits_are_set),
		cmocka_unit_test(test_cpu_time_without_cgroup),
		cmocka_unit_test(test_whole_tree_is_refused),
		cmocka_unit_test(test_wrong_places),
	};

	if (readlink("/proc/self/exe", self_path, sizeof self_path - 1) < 0)
		return 1;
	if (argc > 2 && strcmp(argv[1], "--spin") == 0)
		return rig_spin(argv + 2);
	return cmocka_run_group_tests(tests, setup, teardown);
}
