/* test_process_trouble.c: programs that behave badly, and what they are given; the same
 * with setrlimit only and with the cgroups that are to be had here. */
#define _GNU_SOURCE
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "process_rig.h"
#include "service/cgroup.h"

static char dir[] = "/tmp/test_trouble-XXXXXX", counter[64], bomb[64], bomb_mark[96];

/* --- what goes in, what comes out --- */

static void test_input_is_a_file(void **state)
{
	const char *argv[] = {"sh", "-c", "head -c 4 >/dev/null; cat | wc -c; head -c 3 /dev/stdin", NULL};
	size_t len = 3 << 20;
	char *data = malloc(len);
	struct process_params p = {.argv = argv, .input = data, .input_len = len};
	struct run r = RUN_INIT;
	unsigned long n = 0;

	memset(data, 'x', len);
	memcpy(data, "abcd", 4);
	assert_int_equal(run_start_as(&r, &p), 0);
	free(data);
	run_wait(&r);
	/* head takes four bytes of it, since it can seek; and it can be opened again. */
	assert_int_equal(sscanf(run_text(&r, 1), "%lu", &n), 1);
	assert_int_equal(n, len - 4);
	assert_non_null(strstr(run_text(&r, 1), "\nabc\n"));
	run_deinit(&r);
}

static void test_input_may_be_empty_and_is_sealed(void **state)
{
	const char *argv[] = {"sh", "-c", "wc -c; echo more >>/dev/stdin || echo sealed", NULL};
	struct process_params p = {.argv = argv, .input = ""};
	struct run r = RUN_INIT;

	assert_int_equal(run_start_as(&r, &p), 0);
	run_wait(&r);
	assert_string_equal(run_text(&r, 1), "0\nsealed\n");
	run_deinit(&r);
}

static void test_bytes_as_they_come(void **state)
{
	const char *argv[] = {"printf", "a\\0\\n\\nb", NULL};
	struct run r = RUN_INIT;
	struct process_params p = {.argv = argv, .on_bytes = run_bytes};

	assert_int_equal(run_start_as(&r, &p), 0);
	run_wait(&r);
	assert_int_equal(r.text[1].len, 5);
	assert_memory_equal(r.text[1].data, "a\0\n\nb", 5);
	assert_int_equal(r.n_lines[1], 0);
	run_deinit(&r);
}

static void test_messages(void **state)
{
	const char *argv[] = {"sh", "-c", "echo out; echo one >&3; printf two >&3", NULL};
	struct process_params p = {.argv = argv, .wants_messages = true};
	struct run r = RUN_INIT;

	assert_int_equal(run_start_as(&r, &p), 0);
	run_wait(&r);
	assert_string_equal(run_text(&r, 3), "one\ntwo\n");
	assert_string_equal(run_text(&r, 1), "out\n");
	run_deinit(&r);
	r = (struct run)RUN_INIT;
	run_shell(&r, "echo one >&3 || echo none");
	run_wait(&r);
	assert_string_equal(run_text(&r, 1), "none\n");
	run_deinit(&r);
}

/* --- trouble --- */

/* Nobody reads the one while it writes the other: both are drained. */
static void test_fills_its_pipes(void **state)
{
	const char *argv[] = {"sh", "-c", "head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2;"
			      "head -c 3000000 /dev/zero >&3", NULL};
	struct process_params p = {.argv = argv, .wants_messages = true};
	struct run r = RUN_INIT;

	r.keep = false;
	assert_int_equal(run_start_as(&r, &p), 0);
	run_wait(&r);
	for (int fd = 1; fd <= 3; fd++)
		assert_int_equal(r.n_bytes[fd], 3000000);
	run_deinit(&r);
}

static void test_closes_its_descriptors(void **state)
{
	struct run r = RUN_INIT;
	int64_t start = clock_mono_ns();

	run_shell(&r, "exec 0<&- 1>&- 2>&-; sleep 0.3; exit 5");
	run_wait(&r);
	assert_int_equal(WEXITSTATUS(r.status), 5);
	assert_true(clock_mono_ns() - start >= 300 * NS_PER_MS);
	run_deinit(&r);
}

static void assert_stopped_soon(pid_t pid)
{
	char path[64], state = 0;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	for (int i = 0; i < 500 && state != 'T'; i++) {
		FILE *f = fopen(path, "re");

		assert_non_null(f);
		if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
			state = 0;
		fclose(f);
		poll(NULL, 0, 10);
	}
	assert_int_equal(state, 'T');
}

/* It is woken for its SIGTERM, and can end in order. */
static void test_stops_itself(void **state)
{
	struct run r = RUN_INIT;

	run_shell(&r, "trap 'exit 7' TERM; echo ready; kill -STOP $$; sleep 1000");
	run_wait_line(&r);
	assert_stopped_soon(process_pid(r.process));
	process_kill(r.process, 60 * NS_PER_S);
	run_wait(&r);
	assert_int_equal(WEXITSTATUS(r.status), 7);
	run_deinit(&r);
}

static void test_stopped_and_deaf(void **state)
{
	struct run r = RUN_INIT;

	run_shell(&r, "trap '' TERM; echo ready; while :; do kill -STOP $$; done");
	run_wait_line(&r);
	process_kill(r.process, 100 * NS_PER_MS);
	run_wait(&r);
	assert_int_equal(WTERMSIG(r.status), SIGKILL);
	run_deinit(&r);
}

/* Each generation in a session of its own, gone before anybody has looked at it. */
static void test_never_the_same_process(void **state)
{
	const char *argv[] = {"sh", "-c", "\"$0\" --runner \"$1\" & echo ready; sleep 1000", self_path,
			      counter, NULL};
	struct run r = RUN_INIT;

	unlink(counter);
	assert_int_equal(run_start(&r, argv), 0);
	assert_runner_runs(counter);
	process_kill(r.process, 0);
	run_wait(&r);
	assert_runner_stops(counter);
	assert_no_zombies();
	run_deinit(&r);
}

/* How many have this in their environment. */
static int count_marked(const char *mark)
{
	DIR *proc = opendir("/proc");
	const struct dirent *d;
	int n = 0;

	while ((d = readdir(proc)) != NULL) {
		char path[300], text[4096];
		FILE *f;
		size_t len;

		snprintf(path, sizeof path, "/proc/%s/environ", d->d_name);
		if (d->d_name[0] < '1' || d->d_name[0] > '9' || (f = fopen(path, "re")) == NULL)
			continue;
		len = fread(text, 1, sizeof text, f);
		n += memmem(text, len, mark, strlen(mark)) != NULL;
		fclose(f);
	}
	closedir(proc);
	return n;
}

/* A population that doubles, half of it in sessions of their own. It is bounded, so that a test
 * that fails does no harm. */
static void test_forks_wildly(void **state)
{
	static const char script[] = "[ $1 -gt 6 ] || { setsid sh \"$0\" $(($1 + 1)) & sh \"$0\" $(($1 + 1)) & };"
				     "sleep 1000 & wait";
	const char *argv[] = {"sh", bomb, "1", NULL}, *env[] = {bomb_mark, "PATH=/usr/bin:/bin", NULL};
	struct process_params p = {.argv = argv, .env = env};
	struct run r = RUN_INIT;
	FILE *f = fopen(bomb, "we");

	fputs(script, f);
	fclose(f);
	assert_int_equal(run_start_as(&r, &p), 0);
	for (int i = 0; i < 500 && count_marked(bomb_mark) < 20; i++)
		poll(NULL, 0, 2);
	process_kill(r.process, 0);
	run_wait(&r);
	for (int i = 0; i < 500 && count_marked(bomb_mark) > 0; i++)
		poll(NULL, 0, 10);
	assert_int_equal(count_marked(bomb_mark), 0);
	assert_no_zombies();
	run_deinit(&r);
}

static void test_leaves_a_pipe_open(void **state)
{
	struct run r = RUN_INIT;
	int child = 0;

	run_shell(&r, "(setsid sh -c 'echo $$; exec sleep 1000' &) ; sleep 0.2; exit 4");
	run_wait(&r);
	assert_int_equal(WEXITSTATUS(r.status), 4);
	assert_int_equal(sscanf(run_text(&r, 1), "%d", &child), 1);
	assert_gone_soon(child);
	run_deinit(&r);
}

/* --- with which kind --- */

static int setup(const char *where)
{
	const struct cgroup_config c = {.where = where};
	char why[256];

	if (cgroup_init(&c, why, sizeof why) < 0)
		return -1;
	return process_init();
}

static int setup_off(void **state)
{
	return setup("off");
}

static int setup_auto(void **state)
{
	return setup("auto");
}

static int teardown(void **state)
{
	process_deinit();
	cgroup_deinit();
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_input_is_a_file),
		cmocka_unit_test(test_input_may_be_empty_and_is_sealed),
		cmocka_unit_test(test_bytes_as_they_come),
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_fills_its_pipes),
		cmocka_unit_test(test_closes_its_descriptors),
		cmocka_unit_test(test_stops_itself),
		cmocka_unit_test(test_stopped_and_deaf),
		cmocka_unit_test(test_never_the_same_process),
		cmocka_unit_test(test_forks_wildly),
		cmocka_unit_test(test_leaves_a_pipe_open),
	};
	ssize_t n = readlink("/proc/self/exe", self_path, sizeof self_path - 1);
	int failed;

	if (n < 0)
		return 1;
	if (argc > 2 && strcmp(argv[1], "--runner") == 0)
		return rig_runner(argv[2]);
	if (mkdtemp(dir) == NULL)
		return 1;
	snprintf(counter, sizeof counter, "%s/count", dir);
	snprintf(bomb, sizeof bomb, "%s/bomb", dir);
	snprintf(bomb_mark, sizeof bomb_mark, "BOMB=%s", dir);
	failed = cmocka_run_group_tests_name("setrlimit", tests, setup_off, teardown);
	failed += cmocka_run_group_tests_name("cgroups, where there are any", tests, setup_auto, teardown);
	unlink(counter);
	unlink(bomb);
	rmdir(dir);
	return failed;
}
