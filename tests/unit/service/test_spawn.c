/* test_spawn.c: what a child is given before it begins: descriptors, limits, umask, user and
 * groups, Landlock rules; and what cannot be had is told as that. Real children of the test;
 * what needs root or Landlock is skipped by name where there is none. */
#define _GNU_SOURCE
#include "service/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/util.h"
#include "service/landlock.h"
#include "service/orphans.h"

static const char *const clean_env[] = {"PATH=/usr/bin:/bin", NULL};
static char dir[] = "/tmp/test_spawn-XXXXXX";

/* --- a shell script as a child --- */

struct run {
	struct spawn spawn;
	struct spawn_rules rules;
	int status;
	const char *step; /* that failed */
	char text[4096];  /* what it wrote to 1 and 2 */
};

/* sh itself, so that its rules are of no other file. */
static struct run new_run(void)
{
	return (struct run){
		.spawn = {.path = "/bin/sh", .env = clean_env, .warden_fd = -1, .parent = getpid(),
			  .mark = orphans_mark(), .message_fd = -1},
		.rules = {.ruleset_fd = -1},
	};
}

static void read_all(int fd, char *text, size_t size)
{
	size_t at = 0;
	ssize_t n;

	while ((n = read(fd, text + at, size - 1 - at)) > 0)
		at += (size_t)n;
	text[at] = 0;
	close(fd);
}

/* As spawn_start. Ended, its output read when 0. */
static int run(struct run *r, const char *script)
{
	const char *const argv[] = {"sh", "-c", script, NULL};
	AUTO_CLOSE int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int ends[2], rc;
	pid_t pid;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	r->spawn.argv = argv;
	r->spawn.stdin_fd = null;
	r->spawn.stdout_fd = r->spawn.stderr_fd = ends[1];
	r->spawn.rules = &r->rules;
	rc = spawn_start(&r->spawn, &pid, &r->step);
	close(ends[1]);
	read_all(ends[0], r->text, sizeof r->text);
	if (rc == 0)
		assert_int_equal(waitpid(pid, &r->status, 0), pid);
	spawn_rules_deinit(&r->rules);
	return rc;
}

static void run_ok(struct run *r, const char *script)
{
	int rc = run(r, script);

	if (rc < 0)
		fail_msg("%s: %s", r->step, strerrorname_np(-rc));
}

/* Good for the next 16. */
static const char *place(const char *name)
{
	static char paths[16][128];
	static unsigned n;
	char *path = paths[n++ % ARRAY_LEN(paths)];

	snprintf(path, sizeof paths[0], "%s/%s", dir, name);
	return path;
}

static void write_file(const char *path, const char *text, mode_t mode)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	chmod(path, mode);
}

/* --- descriptors --- */

static void messages_are_descriptor_3(void **state)
{
	struct run r = new_run();
	char text[64];
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	r.spawn.message_fd = ends[1];
	run_ok(&r, "echo hello >&3; ls /proc/$$/fd; exit 0");
	close(ends[1]);
	read_all(ends[0], text, sizeof text);
	assert_string_equal(text, "hello\n");
	assert_string_equal(r.text, "0\n1\n2\n3\n");
}

/* In a process of its own, whose 0 to 3 are what the child's are to be made of. */
static int crossed(int in, int out)
{
	const char *const argv[] = {"sh", "-c", "read x; echo $x; echo err >&2; echo msg >&3; ls /proc/$$/fd; exit 0", NULL};
	struct run r = new_run();
	pid_t pid;

	in = fcntl(in, F_DUPFD_CLOEXEC, 60);
	out = fcntl(out, F_DUPFD_CLOEXEC, 60);
	r.spawn.argv = argv;
	r.spawn.stdin_fd = dup3(in, 2, O_CLOEXEC);
	r.spawn.stdout_fd = dup3(out, 0, O_CLOEXEC);
	r.spawn.stderr_fd = dup3(out, 3, O_CLOEXEC);
	r.spawn.message_fd = dup3(out, 1, O_CLOEXEC);
	r.spawn.rules = &r.rules;
	if (spawn_start(&r.spawn, &pid, &r.step) < 0)
		return 1;
	return waitpid(pid, &r.status, 0) == pid ? r.status : 1;
}

static void descriptors_in_each_other_s_places(void **state)
{
	int in[2], out[2], status;
	char text[128];
	pid_t pid;

	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	assert_int_equal(write(in[1], "word\n", 5), 5);
	pid = fork();
	if (pid == 0)
		_exit(crossed(in[0], out[1]));
	close(out[1]);
	read_all(out[0], text, sizeof text);
	close(in[0]);
	close(in[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_string_equal(text, "word\nerr\nmsg\n0\n1\n2\n3\n");
}

/* --- limits --- */

static void limits_and_umask(void **state)
{
	static const struct spawn_rlimit limits[] = {
		{RLIMIT_NOFILE, {20, 20}}, {RLIMIT_FSIZE, {8192, 8192}}, {RLIMIT_CPU, {7, 8}},
	};
	struct run r = new_run();

	r.spawn.rlimits = limits;
	r.spawn.n_rlimits = ARRAY_LEN(limits);
	r.spawn.umask = 027;
	run_ok(&r, "ulimit -n; ulimit -f; ulimit -t; ulimit -c; ulimit -Hc; umask");
	assert_string_equal(r.text, "20\n16\n7\n0\n0\n0027\n");
	r = new_run();
	run_ok(&r, "umask");
	assert_string_equal(r.text, "0022\n");
	r = new_run();
	r.spawn.umask = -1;
	run_ok(&r, "umask; grep NoNewPrivs /proc/self/status");
	assert_string_equal(r.text, "0000\nNoNewPrivs:\t1\n");
}

/* As under a unit's LimitCORE=0: what is less already is not raised, which only root may. */
static int without_cores(void)
{
	const struct rlimit none = {0, 0};
	struct run r = new_run();

	if (setrlimit(RLIMIT_CORE, &none) < 0 || (geteuid() == 0 && setuid(65534) < 0))
		return 2;
	return run(&r, "ulimit -Hc") == 0 && strcmp(r.text, "0\n") == 0 ? 0 : 1;
}

static void a_service_without_cores(void **state)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(without_cores());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* What there is no descriptor for is told, not left out. */
static int without_descriptors(void)
{
	const struct rlimit few = {12, 12};
	struct run r = new_run();

	r.spawn.message_fd = 2;
	return setrlimit(RLIMIT_NOFILE, &few) == 0 && run(&r, "true") == -EMFILE && strcmp(r.step, "fds") == 0 ? 0 : 1;
}

static void a_service_without_descriptors(void **state)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(without_descriptors());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void a_limit_that_holds(void **state)
{
	static const struct spawn_rlimit limit = {RLIMIT_FSIZE, {1000, 1000}};
	struct run r = new_run();
	struct stat st;

	r.spawn.rlimits = &limit;
	r.spawn.n_rlimits = 1;
	r.spawn.dir = dir;
	run_ok(&r, "exec head -c 5000 /dev/zero > limited");
	assert_true(WIFSIGNALED(r.status) && WTERMSIG(r.status) == SIGXFSZ);
	assert_false(WCOREDUMP(r.status));
	assert_int_equal(stat(place("limited"), &st), 0);
	assert_int_equal(st.st_size, 1000);
}

/* Tighter than the service's hard limit goes, wider does not, for root either: 2^50 is more
 * than the kernel's own. */
static void a_limit_that_cannot_be_had(void **state)
{
	static const struct spawn_rlimit limit = {RLIMIT_NOFILE, {1ULL << 50, 1ULL << 50}};
	struct run r = new_run();

	r.spawn.rlimits = &limit;
	r.spawn.n_rlimits = 1;
	assert_int_equal(run(&r, "true"), -EOPNOTSUPP);
	assert_string_equal(r.step, "limits");
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void a_directory_is_not_a_program(void **state)
{
	struct run r = new_run();

	r.spawn.dir = place("no-such-directory");
	assert_int_equal(run(&r, "true"), -ENOTDIR);
	assert_string_equal(r.step, "chdir");
	r = new_run();
	r.spawn.path = place("no-such-program");
	assert_int_equal(run(&r, "true"), -ENOENT);
	assert_string_equal(r.step, "exec");
}

/* --- users --- */

static void names_that_are_nobody_s(void **state)
{
	struct spawn_rules rules;

	assert_int_equal(spawn_rules_make(&rules, "/bin/sh", "no-such-user-here", NULL, NULL, NULL), -EOPNOTSUPP);
	assert_int_equal(rules.ruleset_fd, -1);
	assert_int_equal(spawn_rules_make(&rules, "/bin/sh", NULL, "no-such-group", NULL, NULL), -EOPNOTSUPP);
	assert_int_equal(spawn_rules_make(&rules, "/bin/sh", "3999999999", NULL, NULL, NULL), -EOPNOTSUPP);
	assert_int_equal(spawn_rules_make(&rules, "/bin/sh", "4294967295", "0", NULL, NULL), -EOPNOTSUPP);
	assert_int_equal(spawn_rules_make(&rules, "/bin/sh", "-1", "0", NULL, NULL), -EOPNOTSUPP);
	assert_int_equal(spawn_rules_make(&rules, "/bin/sh", "", NULL, NULL, NULL), -EOPNOTSUPP);
	assert_int_equal(spawn_rules_make(&rules, "/bin/sh", NULL, NULL, NULL, NULL), 0);
	assert_false(rules.account.switches);
}

static void the_service_s_own_user_is_no_switch(void **state)
{
	struct account a;
	char *why, uid[16], gid[16];

	snprintf(uid, sizeof uid, "%u", geteuid());
	snprintf(gid, sizeof gid, "%u", getegid());
	assert_int_equal(account_find(uid, gid, &a, &why), 0);
	assert_null(why);
	assert_int_equal(a.switches, geteuid() == 0);
	assert_true(a.uid == geteuid() && a.gid == getegid());
	account_deinit(&a);
}

static bool need_root(void)
{
	if (geteuid() == 0)
		return true;
	print_message("skipped: only root may switch users\n");
	return false;
}

static void a_user_comes_with_its_groups(void **state)
{
	struct run r = new_run();
	struct passwd *nobody = getpwnam("nobody");
	char want[96], uid[16];

	if (!need_root() || nobody == NULL)
		skip();
	snprintf(want, sizeof want, "%u %u\n%u\n", nobody->pw_uid, nobody->pw_gid, nobody->pw_gid);
	assert_int_equal(spawn_rules_make(&r.rules, "/bin/sh", "nobody", NULL, NULL, NULL), 0);
	run_ok(&r, "echo $(id -u) $(id -g); id -G");
	assert_string_equal(r.text, want);
	r = new_run();
	snprintf(uid, sizeof uid, "%u", nobody->pw_uid);
	assert_int_equal(spawn_rules_make(&r.rules, "/bin/sh", uid, NULL, NULL, NULL), 0);
	run_ok(&r, "echo $(id -u) $(id -g); id -G");
	assert_string_equal(r.text, want);
	r = new_run();
	assert_int_equal(spawn_rules_make(&r.rules, "/bin/sh", "nobody", "daemon", NULL, NULL), 0);
	run_ok(&r, "id -un; id -gn; cat /proc/self/status | grep -E '^(Uid|CapEff|CapPrm|CapAmb)' | tr -s '\\t' ' '");
	snprintf(want, sizeof want, "Uid: %s %s %s %s\n", uid, uid, uid, uid);
	assert_non_null(strstr(r.text, "nobody\ndaemon\n"));
	assert_non_null(strstr(r.text, want));
	assert_non_null(strstr(r.text, "CapPrm: 0000000000000000\nCapEff: 0000000000000000\nCapAmb: 0000000000000000"));
}

static void a_number_without_a_name_needs_a_group(void **state)
{
	struct run r = new_run();

	if (!need_root())
		skip();
	assert_int_equal(spawn_rules_make(&r.rules, "/bin/sh", "54321", "54322", NULL, NULL), 0);
	run_ok(&r, "id -u; id -g; id -G");
	assert_string_equal(r.text, "54321\n54322\n54322\n");
	r = new_run();
	assert_int_equal(spawn_rules_make(&r.rules, "/bin/sh", NULL, "54322", NULL, NULL), 0);
	run_ok(&r, "id -u; id -g; id -G");
	assert_string_equal(r.text, "0\n54322\n54322\n");
}

/* In a child that gives root up; its status. */
static int refused_without_root(void)
{
	struct spawn_rules rules;

	if (setgid(65534) < 0 || setuid(65534) < 0)
		return 2;
	return spawn_rules_make(&rules, "/bin/sh", "daemon", NULL, NULL, NULL) == -EOPNOTSUPP &&
	       spawn_rules_make(&rules, "/bin/sh", "65534", "65534", NULL, NULL) == 0 && !rules.account.switches
	       ? 0 : 1;
}

static void who_is_not_root_does_not_switch(void **state)
{
	int status;
	pid_t pid;

	if (!need_root())
		skip();
	pid = fork();
	if (pid == 0)
		_exit(refused_without_root());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* Setting the user makes the kernel forget PR_SET_PDEATHSIG. */
static void who_has_switched_dies_with_the_service_too(void **state)
{
	int ends[2];
	pid_t pid, service;
	struct pollfd p;

	if (!need_root())
		skip();
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	service = fork();
	if (service == 0) {
		const char *const argv[] = {"sleep", "1000", NULL};
		struct run r = new_run();

		r.spawn.path = "/usr/bin/sleep";
		r.spawn.argv = argv;
		r.spawn.rules = &r.rules;
		r.spawn.stdin_fd = r.spawn.stderr_fd = 2;
		r.spawn.stdout_fd = ends[1];
		if (spawn_rules_make(&r.rules, r.spawn.path, "nobody", NULL, NULL, NULL) < 0 ||
		    spawn_start(&r.spawn, &pid, &r.step) < 0)
			_exit(1);
		kill(getpid(), SIGKILL);
	}
	close(ends[1]);
	assert_int_equal(waitpid(service, &(int){0}, 0), service);
	p = (struct pollfd){.fd = ends[0], .events = POLLIN};
	assert_int_equal(poll(&p, 1, 10000), 1); /* the end of its output: it is gone */
	assert_true(p.revents & POLLHUP);
	close(ends[0]);
}

/* --- Landlock --- */

static bool need_landlock(void)
{
	if (landlock_available())
		return true;
	print_message("skipped: this kernel has no Landlock\n");
	return false;
}

static void only_what_is_named_can_be_used(void **state)
{
	const char *read[] = {"/usr/bin", "/bin", place("in"), NULL}, *write[] = {place("out"), NULL};
	struct run r = new_run();
	char script[1024];

	if (!need_landlock())
		skip();
	mkdir(place("in"), 0755);
	mkdir(place("out"), 0755);
	write_file(place("in/given"), "given\n", 0644);
	write_file(place("secret"), "secret\n", 0644);
	assert_int_equal(spawn_rules_make(&r.rules, "/bin/sh", NULL, NULL, read, write), 0);
	snprintf(script, sizeof script, "cd %s; cat in/given; cat secret && echo LEAK; ls . && echo LIST;"
		 " echo x > in/given && echo WROTE; echo x > out/made && cat out/made; cat /etc/passwd && echo LEAK;"
		 " cp /bin/true out/prog && out/prog && echo RAN; mv out/made out/moved && cat out/moved; rm out/*;"
		 " (cat secret && echo LEAK); kill -0 %d && echo SIGNAL; exit 0", dir, (int)getpid());
	run_ok(&r, script);
	assert_int_equal(r.status, 0);
	assert_non_null(strstr(r.text, "given\n"));
	assert_non_null(strstr(r.text, "x\n"));
	for (size_t i = 0; i < 5; i++) {
		static const char *const never[] = {"LEAK", "LIST", "WROTE", "RAN", "secret\n"};

		assert_null(strstr(r.text, never[i]));
	}
	assert_int_equal(strstr(r.text, "SIGNAL") != NULL, landlock_abi() < 6);
}

static void one_file_and_not_its_neighbour(void **state)
{
	const char *read[] = {"/usr/bin", "/bin", place("one"), NULL};
	struct run r = new_run();
	char script[256];

	if (!need_landlock())
		skip();
	write_file(place("one"), "first\n", 0644);
	write_file(place("two"), "second\n", 0644);
	assert_int_equal(spawn_rules_make(&r.rules, "/bin/sh", NULL, NULL, read, NULL), 0);
	snprintf(script, sizeof script, "cat %s/one; cat %s/two", dir, dir);
	run_ok(&r, script);
	assert_non_null(strstr(r.text, "first"));
	assert_null(strstr(r.text, "second"));
}

/* With nothing but an empty list it still begins: itself and its libraries. */
static void it_begins_with_itself_and_its_libraries(void **state)
{
	const char *none[] = {NULL};
	struct run r = new_run();

	if (!need_landlock())
		skip();
	assert_int_equal(spawn_rules_make(&r.rules, "/bin/sh", NULL, NULL, none, NULL), 0);
	run_ok(&r, "echo begun; ls");
	assert_non_null(strstr(r.text, "begun\n"));
	assert_int_equal(WEXITSTATUS(r.status), 126); /* there is no ls for it */
}

static void a_script_s_interpreter_is_not_its_own(void **state)
{
	const char *read[] = {dir, NULL}, *with_sh[] = {dir, "/bin/sh", NULL};
	struct run r = new_run();

	if (!need_landlock())
		skip();
	write_file(place("script"), "#!/bin/sh\necho run\n", 0755);
	r.spawn.path = place("script");
	assert_int_equal(spawn_rules_make(&r.rules, r.spawn.path, NULL, NULL, read, NULL), 0);
	assert_int_equal(run(&r, ""), -EACCES);
	assert_string_equal(r.step, "exec-under-landlock");
	assert_int_equal(spawn_rules_make(&r.rules, r.spawn.path, NULL, NULL, with_sh, NULL), 0);
	run_ok(&r, "");
	assert_string_equal(r.text, "run\n");
}

static void rules_and_another_user(void **state)
{
	const char *read[] = {"/usr/bin", "/bin", place("open"), NULL};
	struct run r = new_run();
	char script[256];

	if (!need_root() || !need_landlock())
		skip();
	chmod(dir, 0755);
	write_file(place("open"), "open\n", 0600); /* the rule alone does not help */
	assert_int_equal(spawn_rules_make(&r.rules, "/bin/sh", "nobody", NULL, read, NULL), 0);
	snprintf(script, sizeof script, "id -u; cat %s/open", dir);
	run_ok(&r, script);
	assert_null(strstr(r.text, "open\n"));
	assert_non_null(strstr(r.text, "65534\n"));
}

static void a_path_that_is_not_there_is_refused(void **state)
{
	const char *read[] = {"/nonexistent/path", NULL};
	struct spawn_rules rules;

	assert_int_equal(spawn_rules_make(&rules, "/bin/sh", NULL, NULL, read, NULL), -EOPNOTSUPP);
	assert_int_equal(rules.ruleset_fd, -1);
}

static int make_dir(void **state)
{
	orphans_init();
	return mkdtemp(dir) != NULL ? 0 : -1;
}

static int remove_dir(void **state)
{
	char command[128];

	snprintf(command, sizeof command, "rm -rf %s", dir);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_are_descriptor_3),
		cmocka_unit_test(descriptors_in_each_other_s_places),
		cmocka_unit_test(limits_and_umask),
		cmocka_unit_test(a_service_without_cores),
		cmocka_unit_test(a_service_without_descriptors),
		cmocka_unit_test(a_limit_that_holds),
		cmocka_unit_test(a_limit_that_cannot_be_had),
		cmocka_unit_test(a_directory_is_not_a_program),
		cmocka_unit_test(names_that_are_nobody_s),
		cmocka_unit_test(the_service_s_own_user_is_no_switch),
		cmocka_unit_test(a_user_comes_with_its_groups),
		cmocka_unit_test(a_number_without_a_name_needs_a_group),
		cmocka_unit_test(who_is_not_root_does_not_switch),
		cmocka_unit_test(who_has_switched_dies_with_the_service_too),
		cmocka_unit_test(only_what_is_named_can_be_used),
		cmocka_unit_test(one_file_and_not_its_neighbour),
		cmocka_unit_test(it_begins_with_itself_and_its_libraries),
		cmocka_unit_test(a_script_s_interpreter_is_not_its_own),
		cmocka_unit_test(rules_and_another_user),
		cmocka_unit_test(a_path_that_is_not_there_is_refused),
	};

	log_init("test_spawn", (enum log_level)-1);
	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
