/* test_process.c: real children. The program starts itself in other roles
 * (--fds, --regroup, --service, --nproc) where a shell cannot play them. */
#define _GNU_SOURCE
#include "service/process.h"
#include "service/warden.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "process_rig.h"

/* --- what a child is given --- */

static void test_output_and_status(void **state)
{
	struct run r = RUN_INIT;

	run_shell(&r, "echo one; echo two; printf three; echo oops >&2; exit 3");
	run_wait(&r);
	assert_true(WIFEXITED(r.status));
	assert_int_equal(WEXITSTATUS(r.status), 3);
	assert_string_equal(run_text(&r, 1), "one\ntwo\nthree\n");
	assert_string_equal(run_text(&r, 2), "oops\n");
	run_deinit(&r);
}

static void test_argv_is_no_shell(void **state)
{
	const char *argv[] = {"printf", "%s\\n", "-i", "; rm -rf /", "$(id)", "a\nb", "", "--", NULL};
	struct run r = RUN_INIT;

	assert_int_equal(run_start(&r, argv), 0);
	run_wait(&r);
	assert_string_equal(run_text(&r, 1), "-i\n; rm -rf /\n$(id)\na\nb\n\n--\n");
	run_deinit(&r);
}

static void test_only_three_fds(void **state)
{
	const char *argv[] = {self_path, "--fds", NULL};
	int inherited = open("/dev/null", O_RDONLY); /* no O_CLOEXEC, as a careless module */
	struct run r = RUN_INIT;

	assert_int_equal(run_start(&r, argv), 0);
	run_wait(&r);
	close(inherited);
	assert_string_equal(run_text(&r, 1), "0\n1\n2\n");
	run_deinit(&r);
}

static void test_environment_is_the_short_list(void **state)
{
	const char *argv[] = {"env", NULL};
	struct run r = RUN_INIT;

	assert_int_equal(run_start(&r, argv), 0);
	run_wait(&r);
	assert_int_equal(r.n_lines[1], 4);
	assert_null(strstr(run_text(&r, 1), "ERRAND_SECRET"));
	assert_non_null(strstr(run_text(&r, 1), "PATH="));
	run_deinit(&r);
}

static void test_signals_are_default(void **state)
{
	struct run r = RUN_INIT;

	signal(SIGPIPE, SIG_IGN);
	run_shell(&r, "grep -E '^Sig(Blk|Ign)' /proc/self/status");
	run_wait(&r);
	assert_non_null(strstr(run_text(&r, 1), "SigBlk:\t0000000000000000"));
	assert_non_null(strstr(run_text(&r, 1), "SigIgn:\t0000000000000000"));
	run_deinit(&r);
}

static void test_group_of_its_own(void **state)
{
	struct run r = RUN_INIT;
	pid_t pid;

	run_shell(&r, "echo ready; exec sleep 1000");
	run_wait_line(&r);
	pid = process_pid(r.process);
	assert_int_equal(getpgid(pid), pid);
	assert_int_equal(getsid(pid), pid);
	assert_int_equal(process_count(), 1);
	process_kill(r.process, 0);
	run_wait(&r);
	assert_int_equal(WTERMSIG(r.status), SIGKILL);
	assert_int_equal(process_count(), 0);
	run_deinit(&r);
}

/* --- what cannot be started --- */

static void test_start_errors(void **state)
{
	const char *missing[] = {"no-such-program-anywhere", NULL};
	const char *missing_path[] = {"/nonexistent/program", NULL};
	const char *not_program[] = {"/etc/passwd", NULL};
	const char *true_argv[] = {"true", NULL};
	char *big = malloc(1 << 20);
	const char *too_long[] = {"true", big, NULL};
	size_t fds = count_fds();
	struct run r = RUN_INIT;

	memset(big, 'x', (1 << 20) - 1);
	big[(1 << 20) - 1] = 0;
	assert_int_equal(run_start(&r, missing), -ENOENT);
	assert_null(r.process);
	assert_int_equal(run_start(&r, missing_path), -ENOENT);
	assert_int_equal(run_start(&r, not_program), -EACCES);
	assert_int_equal(run_start_in(&r, true_argv, "/nonexistent"), -ENOTDIR);
	assert_int_equal(run_start(&r, too_long), -E2BIG);
	assert_int_equal(r.n_exits, 0);
	assert_int_equal(process_count(), 0);
	assert_no_zombies();
	assert_int_equal(count_fds(), fds);
	free(big);
	run_deinit(&r);
}

static void test_no_more_processes_allowed(void **state)
{
	int out, status;
	pid_t pid = run_self("--nproc", &out);

	close(out);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* --- killing --- */

static void test_term_then_kill(void **state)
{
	struct run r = RUN_INIT;
	int64_t start;

	run_shell(&r, "trap '' TERM; echo ready; while :; do sleep 0.05; done");
	run_wait_line(&r);
	start = clock_mono_ns();
	process_kill(r.process, 150 * NS_PER_MS);
	run_wait(&r);
	assert_true(clock_mono_ns() - start >= 150 * NS_PER_MS);
	assert_int_equal(WTERMSIG(r.status), SIGKILL);
	run_deinit(&r);
}

static void test_term_is_enough(void **state)
{
	struct run r = RUN_INIT;

	run_shell(&r, "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.05; done");
	run_wait_line(&r);
	process_kill(r.process, 60 * NS_PER_S);
	run_wait(&r);
	assert_int_equal(WEXITSTATUS(r.status), 7);
	assert_non_null(strstr(run_text(&r, 1), "bye"));
	run_deinit(&r);
}

static void test_group_is_killed(void **state)
{
	struct run r = RUN_INIT;
	int child = 0;

	run_shell(&r, "sleep 1000 & echo $!; wait");
	run_wait_line(&r);
	sscanf(run_text(&r, 1), "%d", &child);
	process_kill(r.process, NS_PER_S);
	run_wait(&r);
	assert_gone_soon(child);
	run_deinit(&r);
}

/* One in a session of its own, one that forked twice besides. */
static void test_runaways_are_found(void **state)
{
	struct run r = RUN_INIT;
	int plain = 0, twice = 0;

	run_shell(&r, "(setsid sleep 1000 >/dev/null 2>&1 & echo $!) > a.$$;"
		      "(setsid sh -c 'sleep 1000 >/dev/null 2>&1 & echo $!' &) > b.$$;"
		      "while [ ! -s a.$$ ] || [ ! -s b.$$ ]; do sleep 0.01; done;"
		      "x=$(cat a.$$ b.$$); rm -f a.$$ b.$$; echo $x; sleep 1000");
	run_wait_line(&r);
	assert_int_equal(sscanf(run_text(&r, 1), "%d %d", &plain, &twice), 2);
	assert_false(is_gone(plain));
	assert_false(is_gone(twice));
	process_kill(r.process, NS_PER_S);
	run_wait(&r);
	assert_gone_soon(plain);
	assert_gone_soon(twice);
	assert_no_zombies();
	run_deinit(&r);
}

/* A program that ends by itself and leaves somebody who holds its output. */
static void test_left_behind(void **state)
{
	struct run r = RUN_INIT;
	int64_t start = clock_mono_ns();
	int child = 0;

	run_shell(&r, "setsid sleep 1000 & echo $!; exit 0");
	run_wait(&r);
	assert_true(clock_mono_ns() - start < 5 * NS_PER_S);
	assert_int_equal(r.status, 0);
	sscanf(run_text(&r, 1), "%d", &child);
	assert_gone_soon(child);
	run_deinit(&r);
}

static pid_t fork_exiting(int status)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(status);
	return pid;
}

static pid_t fork_session(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); /* as all have in a hardened unit */
		setsid();
		pause();
		_exit(1);
	}
	while (getsid(pid) != pid)
		sched_yield();
	return pid;
}

/* Children of a module's own making are not ours to kill or to reap. */
static void test_others_are_left_alone(void **state)
{
	pid_t own = fork_exiting(5), session = fork_session();
	struct run r = RUN_INIT;
	int status;

	run_shell(&r, "exit 0");
	run_wait(&r);
	assert_int_equal(waitpid(own, &status, 0), own);
	assert_int_equal(WEXITSTATUS(status), 5);
	assert_int_equal(kill(session, 0), 0);
	kill(session, SIGTERM);
	assert_int_equal(waitpid(session, &status, 0), session);
	assert_int_equal(WTERMSIG(status), SIGTERM);
	run_deinit(&r);
}

/* Who kills the warden gets another one, and no zombie is left. */
static void test_warden_killed(void **state)
{
	pid_t first = warden_pid(), second = first;
	struct run r = RUN_INIT;

	kill(first, SIGKILL);
	for (int i = 0; i < 500 && (second == first || second == 0); i++) {
		poll(NULL, 0, 10);
		second = warden_pid();
	}
	assert_true(second != 0 && second != first);
	assert_int_equal(kill(first, 0), -1);
	run_shell(&r, "exit 3");
	run_wait(&r);
	assert_int_equal(WEXITSTATUS(r.status), 3);
	assert_int_equal(kill(second, 0), 0);
	run_deinit(&r);
}

static void test_service_killed(void **state)
{
	int out, child = 0, same_group = 0, other_group = 0;
	pid_t service = run_self("--service", &out);
	char text[256] = "";
	size_t len = 0;
	ssize_t n;

	while (strchr(text, '\n') == NULL && (n = read(out, text + len, sizeof text - 1 - len)) > 0)
		len += (size_t)n;
	assert_int_equal(sscanf(text, "%d %d %d", &child, &same_group, &other_group), 3);
	assert_false(is_gone(child) || is_gone(same_group) || is_gone(other_group));
	kill(service, SIGKILL);
	waitpid(service, NULL, 0);
	assert_gone_soon(child);
	assert_gone_soon(same_group);
	assert_gone_soon(other_group);
	close(out);
	reap_adopted();
}

/* --- floods and numbers --- */

static void test_flood(void **state)
{
	struct run r = RUN_INIT;

	r.keep = false;
	run_shell(&r, "head -c 20000000 /dev/zero & yes | head -c 20000000 >&2; wait");
	run_wait(&r);
	assert_int_equal(r.status, 0);
	assert_int_equal(r.n_bytes[1], 20000000);
	assert_int_equal(r.n_lines[2], 10000000);
	assert_int_equal(r.longest, 64 * 1024);
	run_deinit(&r);
}

static void test_long_lines_in_pieces(void **state)
{
	struct run r = RUN_INIT;

	r.keep = false;
	/* Exactly 64 KiB and a newline: one line, not a second empty one. */
	run_shell(&r, "head -c 65536 /dev/zero | tr '\\0' x; echo; echo; echo end");
	run_wait(&r);
	assert_int_equal(r.n_lines[1], 3);
	assert_int_equal(r.n_bytes[1], 65536 + 3);
	run_deinit(&r);
}

static int n_rounds(void)
{
	const char *n = getenv("ERRAND_SPAWNS");

	return n ? atoi(n) : 200;
}

static void test_many_in_a_row_beside_busy_threads(void **state)
{
	const char *argv[] = {"true", NULL};
	size_t fds = count_fds();

	noise_start();
	for (int i = 0; i < n_rounds(); i++) {
		struct run r = RUN_INIT;

		assert_int_equal(run_start(&r, argv), 0);
		run_wait(&r);
		assert_int_equal(r.status, 0);
		run_deinit(&r);
	}
	noise_stop();
	assert_no_zombies();
	/* One that has ended lets go of its own a moment after it has said so; so may
	 * have the test before. */
	for (int i = 0; i < 500 && count_fds() > fds; i++)
		poll(NULL, 0, 10);
	assert_true(count_fds() <= fds);
}

/* --- the other roles --- */

static int role_fds(void)
{
	for (int fd = 0; fd < 4096; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			printf("%d\n", fd);
	return 0;
}

/* Prints its pid, that of a child in the same group, and of one in its own. */
static int role_regroup(void)
{
	pid_t same = fork(), other;

	if (same == 0)
		pause();
	other = fork();
	if (other == 0) {
		setpgid(0, 0);
		pause();
	}
	setpgid(other, other);
	printf("%d %d %d\n", (int)getpid(), (int)same, (int)other);
	fflush(stdout);
	pause();
	return 0;
}

static void print_line(int fd, const char *line, size_t len, void *arg)
{
	dprintf(1, "%.*s\n", (int)len, line);
}

static void ignore_exit(const struct process_end *end, void *arg)
{
}

static int role_service(void)
{
	const char *argv[] = {self_path, "--regroup", NULL};
	struct process_params p = {.argv = argv, .on_line = print_line, .on_exit = ignore_exit};
	struct process *process;

	if (process_init() < 0 || process_start(&p, &process) < 0)
		return 1;
	pause();
	return 0;
}

/* The limit does not hold for root: become somebody else. */
static int role_nproc(void)
{
	struct rlimit none = {0, 0};
	const char *argv[] = {"true", NULL};
	struct run r = RUN_INIT;
	int rc;

	if (getuid() == 0 && (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0))
		return 2;
	if (process_init() < 0)
		return 3;
	setrlimit(RLIMIT_NPROC, &none);
	rc = run_start(&r, argv);
	process_deinit();
	return rc == -EAGAIN ? 0 : 4;
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

static const struct role {
	const char *name;
	int (*run)(void);
} roles[] = {
	{"--fds", role_fds},
	{"--regroup", role_regroup},
	{"--service", role_service},
	{"--nproc", role_nproc},
};

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_output_and_status),
		cmocka_unit_test(test_argv_is_no_shell),
		cmocka_unit_test(test_only_three_fds),
		cmocka_unit_test(test_environment_is_the_short_list),
		cmocka_unit_test(test_signals_are_default),
		cmocka_unit_test(test_group_of_its_own),
		cmocka_unit_test(test_start_errors),
		cmocka_unit_test(test_no_more_processes_allowed),
		cmocka_unit_test(test_term_then_kill),
		cmocka_unit_test(test_term_is_enough),
		cmocka_unit_test(test_group_is_killed),
		cmocka_unit_test(test_runaways_are_found),
		cmocka_unit_test(test_left_behind),
		cmocka_unit_test(test_others_are_left_alone),
		cmocka_unit_test(test_service_killed),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_long_lines_in_pieces),
		cmocka_unit_test(test_many_in_a_row_beside_busy_threads),
		/* last: the new one is the process thread's child, where reap_adopted does not look */
		cmocka_unit_test(test_warden_killed),
	};
	ssize_t n = readlink("/proc/self/exe", self_path, sizeof self_path - 1);

	if (n < 0)
		return 1;
	for (size_t i = 0; argc > 1 && i < ARRAY_LEN(roles); i++)
		if (strcmp(argv[1], roles[i].name) == 0)
			return roles[i].run();
	setenv("ERRAND_SECRET", "not for children", 1);
	return cmocka_run_group_tests(tests, setup, teardown);
}
