/* test_cgroup.c: limits, counting and killing of whole trees, with the cgroups that are
 * to be had here: as they are found; of version 1 without the tree of version 2 beside them; and without the
 * freezer too. Where there are none these tests are skipped, and setrlimit's remain.
 * The program starts itself in other roles (--eat, --spin, --forks, ...). */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "process_rig.h"
#include "service/cgroup.h"
#include "service/cgroup_place.h"
#include "service/warden.h"

static char dir[] = "/tmp/test_cgroup-XXXXXX", counter[64], mounts[64];
static const char *without; /* a word of mountinfo's lines that are not seen */

/* Which parts hierarchies of version 1 have. */
static unsigned parts_mounted(void)
{
	struct cgroup_place places[CGROUP_PLACES];
	size_t n = cgroup_places_read("/proc/self/cgroup", mounts, NULL, places);
	unsigned parts = 0;

	for (size_t i = 0; i < n; i++)
		parts |= places[i].parts;
	cgroup_places_deinit(places, n);
	return parts;
}

/* Skips the test where there is none of it. */
static void need(unsigned parts)
{
	const char *kind = cgroup_kind();

	if (strcmp(kind, "rlimit") != 0 &&
	    (strcmp(kind, "cgroup1") != 0 || (parts_mounted() & parts) == parts))
		return;
	print_message("kind %s, without what this test needs: skipped\n", kind);
	skip();
}

static void run_limited(struct run *r, const char *script, const struct errand_limits *limits)
{
	const char *argv[] = {"sh", "-c", script, self_path, counter, NULL};

	start_limited(r, argv, limits);
}

/* --- memory --- */

static void test_over_memory_is_oom(void **state)
{
	const struct errand_limits limits = {.memory = 64 * MIB};
	const char *argv[] = {self_path, "--eat", "200", NULL};
	struct run r = RUN_INIT;

	need(CGROUP_MEMORY);
	start_limited(&r, argv, &limits);
	run_wait(&r);
	assert_true(WIFSIGNALED(r.status));
	assert_int_equal(WTERMSIG(r.status), SIGKILL);
	assert_true(r.end.oom);
	assert_string_equal(r.end.isolation, cgroup_kind());
	assert_true(r.end.peak_memory > 60 * MIB && r.end.peak_memory <= 64 * MIB);
	run_deinit(&r);
}

/* The kernel of version 1 ends one process; that would leave a shell that goes on. */
static void test_oom_ends_the_whole_tree(void **state)
{
	const struct errand_limits limits = {.memory = 64 * MIB};
	struct run r = RUN_INIT;

	need(CGROUP_MEMORY);
	run_limited(&r, "\"$0\" --eat 200; sleep 1000", &limits);
	run_wait(&r);
	assert_int_equal(WTERMSIG(r.status), SIGKILL);
	assert_true(r.end.oom);
	run_deinit(&r);
}

static void test_under_memory_is_none(void **state)
{
	const struct errand_limits limits = {.memory = 200 * MIB};
	const char *argv[] = {self_path, "--eat", "50", NULL};
	struct run r = RUN_INIT;

	need(CGROUP_MEMORY);
	start_limited(&r, argv, &limits);
	run_wait(&r);
	assert_int_equal(r.status, 0);
	assert_false(r.end.oom);
	assert_true(r.end.peak_memory >= 50 * MIB && r.end.peak_memory < 150 * MIB);
	run_deinit(&r);
}

/* Each of them is small. */
static void test_memory_is_of_the_tree(void **state)
{
	const struct errand_limits limits = {.memory = 100 * MIB};
	struct run r = RUN_INIT;

	need(CGROUP_MEMORY);
	run_limited(&r, "for i in 1 2 3 4; do \"$0\" --eat-and-stay 40 & done; wait", &limits);
	run_wait(&r);
	assert_true(r.end.oom);
	run_deinit(&r);
}

/* --- processes and time --- */

static void test_processes_are_counted(void **state)
{
	const struct errand_limits limits = {.processes = 10};
	const char *argv[] = {self_path, "--forks", "40", NULL};
	struct run r = RUN_INIT;

	need(CGROUP_PIDS);
	start_limited(&r, argv, &limits);
	run_wait(&r);
	assert_string_equal(run_text(&r, 1), "9\n"); /* and itself */
	assert_false(r.end.oom);
	run_deinit(&r);
}

/* 50 ms of work at a tenth of a processor. */
static void test_cpus_are_shared_out(void **state)
{
	const struct errand_limits limits = {.cpus = 0.1};
	const char *argv[] = {self_path, "--spin", "50", NULL};
	int64_t start = clock_mono_ns();
	struct run r = RUN_INIT;

	need(CGROUP_CPU);
	start_limited(&r, argv, &limits);
	run_wait(&r);
	assert_int_equal(r.status, 0);
	assert_true(clock_mono_ns() - start > 250 * NS_PER_MS);
	assert_true(r.end.cpu_ns >= 50 * NS_PER_MS);
	run_deinit(&r);
}

/* Of two that nobody waits for, each of which stays below. */
static void test_cpu_time_of_the_tree(void **state)
{
	const struct errand_limits limits = {.cpu_time_ns = 300 * NS_PER_MS};
	struct run r = RUN_INIT;

	need(0);
	run_limited(&r, "\"$0\" --spin 200 & setsid \"$0\" --spin 200 & sleep 1000", &limits);
	run_wait(&r);
	assert_true(WIFSIGNALED(r.status));
	assert_int_equal(WTERMSIG(r.status), SIGXCPU);
	assert_true(r.end.cpu_ns >= 300 * NS_PER_MS && r.end.cpu_ns < 3 * NS_PER_S);
	run_deinit(&r);
}

/* A cancel with a long grace comes once its time is over, and it heeds nothing. */
static void test_cancel_does_not_prolong_cpu_time(void **state)
{
	const struct errand_limits limits = {.cpu_time_ns = 200 * NS_PER_MS};
	int64_t start;
	struct run r = RUN_INIT;

	need(0);
	unlink(counter);
	run_limited(&r, "trap '' TERM; trap ': > \"$1\"' XCPU; while :; do :; done", &limits);
	while (access(counter, F_OK) < 0)
		nanosleep(&(struct timespec){0, 10 * NS_PER_MS}, NULL);
	start = clock_mono_ns();
	process_kill(r.process, 60 * NS_PER_S);
	run_wait(&r);
	assert_int_equal(WTERMSIG(r.status), SIGKILL);
	assert_true(clock_mono_ns() - start < 10 * NS_PER_S);
	run_deinit(&r);
}

static void test_what_was_used(void **state)
{
	struct run r = RUN_INIT;

	need(CGROUP_MEMORY);
	run_limited(&r, "\"$0\" --eat-and-stay 30 & \"$0\" --eat-and-stay 30 & \"$0\" --spin 50; wait", NULL);
	run_wait(&r);
	assert_int_equal(r.status, 0);
	assert_true(r.end.peak_memory >= 60 * MIB);
	assert_true(r.end.cpu_ns >= 50 * NS_PER_MS);
	run_deinit(&r);
}

/* --- killing --- */

static void test_tree_is_killed(void **state)
{
	struct run r = RUN_INIT;

	need(0);
	unlink(counter);
	run_limited(&r, "(setsid \"$0\" --runner \"$1\" &) ; sleep 1000", NULL);
	assert_runner_runs(counter);
	process_kill(r.process, NS_PER_S);
	run_wait(&r);
	assert_runner_stops(counter);
	run_deinit(&r);
}

static void test_left_behind_is_killed(void **state)
{
	struct run r = RUN_INIT;

	need(0);
	unlink(counter);
	run_limited(&r, "(setsid \"$0\" --runner \"$1\" &) ; while [ ! -s \"$1\" ]; do sleep 0.01; done; exit 3", NULL);
	run_wait(&r);
	assert_int_equal(WEXITSTATUS(r.status), 3);
	assert_runner_stops(counter);
	run_deinit(&r);
}

/* In each hierarchy: how many cgroups errand.PID has; with make, one more is made in each
 * of them and the process moves there. */
static int children_of_ours(pid_t make)
{
	struct cgroup_place places[CGROUP_PLACES];
	size_t n = cgroup_places_read("/proc/self/cgroup", mounts, NULL, places);
	int found = 0;

	for (size_t i = 0; i < n; i++) {
		AUTO_FREE char *ours = xasprintf("%s/errand.%d", places[i].dir, (int)getpid());
		DIR *list = opendir(ours);
		const struct dirent *d;

		while (list != NULL && (d = readdir(list)) != NULL) {
			AUTO_FREE char *inner = xasprintf("%s/%s/inner", ours, d->d_name);
			AUTO_FREE char *command = xasprintf("echo %d >%s/cgroup.procs", (int)make, inner);

			if (d->d_type != DT_DIR || d->d_name[0] == '.')
				continue;
			found++;
			if (make != 0)
				assert_true(mkdir(inner, 0755) == 0 && system(command) == 0);
		}
		if (list != NULL)
			closedir(list);
	}
	cgroup_places_deinit(places, n);
	return found;
}

/* As containers and other services do. */
static void test_cgroups_in_its_cgroup(void **state)
{
	struct run r = RUN_INIT;

	need(0);
	for (int i = 0; i < 500 && children_of_ours(0) > 0; i++)
		poll(NULL, 0, 10);
	run_limited(&r, "echo ready; sleep 1000 & wait", NULL);
	run_wait_line(&r);
	assert_true(children_of_ours(process_pid(r.process)) > 0);
	process_kill(r.process, 0);
	run_wait(&r);
	for (int i = 0; i < 500 && children_of_ours(0) > 0; i++)
		poll(NULL, 0, 10);
	assert_int_equal(children_of_ours(0), 0);
	run_deinit(&r);
}

/* A service of its own that was killed; its output tells when its program runs. */
static pid_t start_service(int *outp)
{
	pid_t pid;

	setenv("TEST_CGROUP_MOUNTS", mounts, 1);
	setenv("TEST_CGROUP_COUNTER", counter, 1);
	unlink(counter);
	pid = run_self("--service", outp);
	assert_runner_runs(counter);
	return pid;
}

/* Has any hierarchy a directory of that process's? */
static bool has_directory(pid_t pid)
{
	struct cgroup_place places[CGROUP_PLACES];
	size_t n = cgroup_places_read("/proc/self/cgroup", mounts, NULL, places);
	bool found = false;

	for (size_t i = 0; i < n; i++) {
		AUTO_FREE char *path = xasprintf("%s/errand.%d", places[i].dir, (int)pid);

		found = found || access(path, F_OK) == 0;
	}
	cgroup_places_deinit(places, n);
	return found;
}

static void test_service_is_killed(void **state)
{
	pid_t service;
	int out;

	need(0);
	service = start_service(&out);
	assert_true(has_directory(service));
	kill(service, SIGKILL);
	waitpid(service, NULL, 0);
	assert_runner_stops(counter);
	for (int i = 0; i < 500 && has_directory(service); i++)
		poll(NULL, 0, 10);
	assert_false(has_directory(service));
	close(out);
	reap_adopted();
}

static int again(void);

/* Its warden as well: what neither could bury the next service does. */
static void test_service_and_warden_are_killed(void **state)
{
	char text[32] = "";
	pid_t service;
	int out;

	need(0);
	service = start_service(&out);
	assert_true(read(out, text, sizeof text - 1) > 0);
	kill(service, SIGSTOP); /* else it starts another */
	kill(atoi(text), SIGKILL);
	kill(service, SIGKILL);
	waitpid(service, NULL, 0);
	close(out);
	assert_true(has_directory(service));
	assert_int_equal(again(), 0);
	assert_false(has_directory(service));
	assert_runner_stops(counter);
	reap_adopted();
}

/* --- many --- */

static void test_many_in_a_row_beside_busy_threads(void **state)
{
	const struct errand_limits limits = {.memory = 100 * MIB, .processes = 20, .cpus = 1};
	const char *n = getenv("ERRAND_SPAWNS"), *argv[] = {"true", NULL};
	size_t fds = count_fds();

	need(0);
	noise_start();
	for (int i = n ? atoi(n) : 40; i > 0; i--) {
		struct run r = RUN_INIT;

		start_limited(&r, argv, i % 2 ? &limits : NULL);
		run_wait(&r);
		assert_int_equal(r.status, 0);
		assert_string_equal(r.end.isolation, cgroup_kind());
		run_deinit(&r);
	}
	noise_stop();
	assert_no_zombies();
	assert_int_equal(count_fds(), fds);
}

/* By somebody who tidies up: a program without limits does not need one. */
static void test_directories_are_taken_away(void **state)
{
	const struct errand_limits limits = {.cpu_time_ns = NS_PER_S};
	struct cgroup_place places[CGROUP_PLACES];
	const char *argv[] = {"true", NULL};
	struct process_params p = {.argv = argv, .limits = &limits};
	struct run r = RUN_INIT;
	size_t n;

	need(0);
	n = cgroup_places_read("/proc/self/cgroup", mounts, NULL, places);
	for (size_t i = 0; i < n; i++) {
		AUTO_FREE char *path = xasprintf("%s/errand.%d", places[i].dir, (int)getpid());

		for (int try = 0; try < 500 && rmdir(path) < 0 && errno != ENOENT; try++)
			poll(NULL, 0, 10); /* the last one's may not be empty yet */
	}
	cgroup_places_deinit(places, n);
	assert_int_equal(run_start_as(&r, &p), -EAGAIN);
	p.limits = NULL;
	assert_int_equal(run_start_as(&r, &p), 0);
	run_wait(&r);
	assert_string_equal(r.end.isolation, "rlimit");
	assert_int_equal(again(), 0);
}

/* Nothing of ours is left when the service ends in order. */
static void test_directories_go(void **state)
{
	need(0);
	assert_true(has_directory(getpid()));
	assert_int_equal(again(), 0);
	process_deinit();
	cgroup_deinit();
	assert_false(has_directory(getpid()));
	assert_int_equal(again(), 0);
}

/* Those of each process and of its files are set with any kind. */
static void test_files_are_always_limited(void **state)
{
	const struct errand_limits limits = {.memory = 300 * MIB, .open_files = 33, .file_size = 4096};
	struct run r = RUN_INIT;

	need(CGROUP_MEMORY);
	run_limited(&r, "ulimit -n; ulimit -f; ulimit -v", &limits);
	run_wait(&r);
	assert_string_equal(run_text(&r, 1), "33\n8\nunlimited\n");
	run_deinit(&r);
}

/* What this kind lacks is refused, what it has is not. */
static void test_whole_tree_as_far_as_it_goes(void **state)
{
	struct errand_limits limits = {.memory = 300 * MIB, .whole_tree = 1};
	const char *argv[] = {"true", NULL};
	struct process_params p = {.argv = argv, .limits = &limits};
	struct run r = RUN_INIT;

	need(CGROUP_MEMORY);
	assert_int_equal(run_start_as(&r, &p), 0);
	run_wait(&r);
	if (strcmp(cgroup_kind(), "cgroup1") == 0) {
		limits.io_weight = 50;
		assert_int_equal(run_start_as(&r, &p), -EOPNOTSUPP);
	}
	run_deinit(&r);
}

/* --- the other roles --- */

static void eat(const char *mib)
{
	size_t size = (size_t)atoi(mib) << 20;
	volatile char *p = malloc(size);

	for (size_t i = 0; i < size; i += 4096)
		p[i] = 1;
}

static int role_eat(char **args)
{
	eat(args[0]);
	return 0;
}

static int role_eat_and_stay(char **args)
{
	eat(args[0]);
	poll(NULL, 0, 300);
	return 0;
}

static int role_forks(char **args)
{
	int n = 0;

	for (pid_t pid; n < atoi(args[0]) && (pid = fork()) >= 0; n++)
		if (pid == 0)
			for (;;)
				pause();
	printf("%d\n", n);
	fflush(stdout);
	return 0;
}

static int role_runner(char **args)
{
	return rig_runner(args[0]);
}

static int start_kind(void)
{
	const struct cgroup_config c = {.where = "auto", .mountinfo = mounts};
	char why[256];

	if (cgroup_init(&c, why, sizeof why) < 0)
		return -1;
	return process_init();
}

static int role_service(char **args)
{
	const char *argv[] = {"sh", "-c", "(setsid \"$0\" --runner \"$1\" &) ; sleep 1000", self_path,
			      counter, NULL};
	struct process_params p = {.argv = argv};
	struct run r = RUN_INIT;

	snprintf(counter, sizeof counter, "%s", getenv("TEST_CGROUP_COUNTER"));
	snprintf(mounts, sizeof mounts, "%s", getenv("TEST_CGROUP_MOUNTS"));
	if (start_kind() < 0 || run_start_as(&r, &p) < 0)
		return 1;
	printf("%d\n", (int)warden_pid());
	fflush(stdout);
	pause();
	return 0;
}

static const struct role {
	const char *name;
	int (*run)(char **args);
} roles[] = {
	{"--eat", role_eat},       {"--eat-and-stay", role_eat_and_stay},
	{"--spin", rig_spin},     {"--forks", role_forks},
	{"--runner", role_runner}, {"--service", role_service},
};

/* --- the kinds --- */

/* mountinfo as this machine has it, but for what is not to be seen. */
static void write_mounts(void)
{
	FILE *in = fopen("/proc/self/mountinfo", "re"), *out = fopen(mounts, "we");
	char line[4096];

	while (in != NULL && out != NULL && fgets(line, sizeof line, in) != NULL)
		if (without == NULL || (strstr(line, " - cgroup2 ") == NULL && strstr(line, without) == NULL))
			fputs(line, out);
	fclose(in);
	fclose(out);
}

static int setup(void **state)
{
	write_mounts();
	return start_kind();
}

static int teardown(void **state)
{
	process_deinit();
	cgroup_deinit();
	return 0;
}

static int again(void)
{
	process_deinit();
	cgroup_deinit();
	return start_kind();
}

static int run_kinds(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_over_memory_is_oom),
		cmocka_unit_test(test_oom_ends_the_whole_tree),
		cmocka_unit_test(test_under_memory_is_none),
		cmocka_unit_test(test_memory_is_of_the_tree),
		cmocka_unit_test(test_processes_are_counted),
		cmocka_unit_test(test_cpus_are_shared_out),
		cmocka_unit_test(test_cpu_time_of_the_tree),
		cmocka_unit_test(test_cancel_does_not_prolong_cpu_time),
		cmocka_unit_test(test_what_was_used),
		cmocka_unit_test(test_tree_is_killed),
		cmocka_unit_test(test_left_behind_is_killed),
		cmocka_unit_test(test_cgroups_in_its_cgroup),
		cmocka_unit_test(test_service_is_killed),
		cmocka_unit_test(test_service_and_warden_are_killed),
		cmocka_unit_test(test_many_in_a_row_beside_busy_threads),
		cmocka_unit_test(test_directories_are_taken_away),
		cmocka_unit_test(test_files_are_always_limited),
		cmocka_unit_test(test_whole_tree_as_far_as_it_goes),
		cmocka_unit_test(test_directories_go),
	};
	const struct CMUnitTest killing[] = {
		cmocka_unit_test(test_cpu_time_of_the_tree),
		cmocka_unit_test(test_tree_is_killed),
		cmocka_unit_test(test_left_behind_is_killed),
		cmocka_unit_test(test_cgroups_in_its_cgroup),
		cmocka_unit_test(test_service_is_killed),
		cmocka_unit_test(test_service_and_warden_are_killed),
		cmocka_unit_test(test_directories_go),
	};
	int failed = cmocka_run_group_tests_name("as found", tests, setup, teardown);

	without = " - cgroup2 ";
	failed += cmocka_run_group_tests_name("without version 2", killing, setup, teardown);
	without = ",freezer";
	failed += cmocka_run_group_tests_name("without freezer", killing, setup, teardown);
	return failed;
}

int main(int argc, char **argv)
{
	int failed;

	if (readlink("/proc/self/exe", self_path, sizeof self_path - 1) < 0)
		return 1;
	for (size_t i = 0; argc > 1 && i < ARRAY_LEN(roles); i++)
		if (strcmp(argv[1], roles[i].name) == 0)
			_exit(roles[i].run(argv + 2)); /* no look for leaks, which needs a thread */
	if (mkdtemp(dir) == NULL)
		return 1;
	snprintf(counter, sizeof counter, "%s/count", dir);
	snprintf(mounts, sizeof mounts, "%s/mountinfo", dir);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	failed = run_kinds();
	unlink(counter);
	unlink(mounts);
	rmdir(dir);
	return failed;
}
