/* sock.c against FAULTS 41 and 42: what may not be replaced is not, of two
 * services one wins, and every refusal says why. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sock.h"
#include "base/util.h"

static char dir[64], path[96], why[SOCK_WHY];

static int setup(void **state)
{
	strcpy(dir, "/tmp/errand-sock-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof path, "%s/s", dir);
	why[0] = '\0';
	return 0;
}

static int teardown(void **state)
{
	char cmd[128];

	snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
	return system(cmd);
}

static void refused(int err, const char *word)
{
	int lock = -1;
	int fd = sock_listen_unix(path, 0660, &lock, why);

	assert_int_equal(fd, -err);
	assert_int_equal(lock, -1);
	if (strstr(why, word) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", why, word);
}

static void test_listen_and_connect(void **state)
{
	int lock, peer, c;
	int fd;
	struct stat st;
	struct sock_peer who;
	char name[108];
	mode_t old = umask(0077); /* the mode must not depend on it */

	fd = sock_listen_unix(path, 0660, &lock, why);
	umask(old);
	assert_true(fd >= 0);
	assert_true(lock >= 0);
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 0777, 0660);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_int_equal(sock_name(fd, name, sizeof name), 0);
	assert_string_equal(name, path);
	c = sock_connect(path, why);
	assert_true(c >= 0);
	assert_int_equal(sock_error(c), 0);
	peer = accept(fd, NULL, NULL);
	assert_true(peer >= 0);
	assert_int_equal(sock_peer(peer, &who), 0);
	assert_int_equal(who.uid, getuid());
	assert_int_equal(who.pid, getpid());
	close(peer);
	close(c);
	close(fd);
	close(lock);
}

static void test_not_a_socket(void **state)
{
	int fd = open(path, O_CREAT | O_WRONLY, 0600);
	struct stat st;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "x", 1), 1);
	close(fd);
	refused(EEXIST, "a file");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 1);
	unlink(path);
	assert_int_equal(symlink("/nowhere", path), 0);
	refused(EEXIST, "symbolic link");
	unlink(path);
	assert_int_equal(mkdir(path, 0700), 0);
	refused(EEXIST, "a directory");
}

static void test_parent(void **state)
{
	assert_int_equal(chmod(dir, 0777), 0);
	refused(EPERM, "chmod go-w");
	assert_int_equal(chmod(dir, 01777), 0);
	int lock;
	int fd = sock_listen_unix(path, 0600, &lock, why);
	assert_true(fd >= 0);
	close(fd);
	close(lock);
	chmod(dir, 0700);
	snprintf(path, sizeof path, "%s/no/s", dir);
	refused(ENOENT, "must exist");
	path[0] = '\0';
	refused(EINVAL, "empty");
}

static void test_too_long(void **state)
{
	char longer[200];
	int lock;

	memset(longer, 'x', sizeof longer - 1);
	longer[0] = '/';
	longer[sizeof longer - 1] = '\0';
	assert_int_equal(sock_listen_unix(longer, 0600, &lock, why), -ENAMETOOLONG);
	assert_int_equal(sock_connect(longer, why), -ENAMETOOLONG);
}

static void test_in_use(void **state)
{
	int lock, fd = sock_listen_unix(path, 0660, &lock, why);
	char pid[16];

	assert_true(fd >= 0);
	snprintf(pid, sizeof pid, "%d", getpid());
	refused(EADDRINUSE, pid); /* the lock: our own sibling */
	close(lock);
	refused(EADDRINUSE, "answers"); /* without the lock: a foreign program */
	close(fd);
}

/* A listener whose backlog is full refuses connections; it lives all the same. */
static void test_full_backlog(void **state)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), n = 0, c[64];

	strcpy(un.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
	assert_int_equal(listen(fd, 0), 0);
	while (n < 64 && (c[n] = sock_connect(path, why)) >= 0)
		n++;
	assert_true(n < 64);
	refused(EADDRINUSE, "answers");
	while (n > 0)
		close(c[--n]);
	close(fd);
}

static void test_stale(void **state)
{
	int lock, fd = sock_listen_unix(path, 0660, &lock, why);
	int c;

	close(fd);
	close(lock); /* as after kill -9: the name stays */
	assert_int_equal(sock_connect(path, why), -ECONNREFUSED);
	assert_non_null(strstr(why, "is the service running"));
	fd = sock_listen_unix(path, 0600, &lock, why);
	assert_true(fd >= 0);
	c = sock_connect(path, why);
	assert_true(c >= 0);
	close(c);
	close(fd);
	close(lock);
}

/* Eight services race for one stale socket: exactly one gets it. The winner
 * holds it until all have tried (end of file on `hold`). */
static void test_race(void **state)
{
	int go[2], hold[2], tried[2], won = 0, lock;
	int fd = sock_listen_unix(path, 0660, &lock, why);
	char b;

	close(fd);
	close(lock);
	assert_int_equal(pipe(go) | pipe(hold) | pipe(tried), 0);
	for (int i = 0; i < 8; i++)
		if (fork() == 0) {
			close(go[1]);
			close(hold[1]);
			while (read(go[0], &b, 1) > 0)
				;
			fd = sock_listen_unix(path, 0660, &lock, why);
			if (write(tried[1], "x", 1) != 1)
				_exit(2);
			while (read(hold[0], &b, 1) > 0)
				;
			_exit(fd >= 0 ? 0 : 1);
		}
	close(go[1]);
	for (int i = 0; i < 8; i++)
		assert_int_equal(read(tried[0], &b, 1), 1);
	close(hold[1]);
	for (int i = 0; i < 8; i++) {
		int status;

		assert_true(wait(&status) > 0);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
		won += WEXITSTATUS(status) == 0;
	}
	assert_int_equal(won, 1);
	close(go[0]);
	close(hold[0]);
	close(tried[0]);
	close(tried[1]);
}

static void test_tcp(void **state)
{
	char name[64], again[64];
	int fd = sock_listen_tcp("127.0.0.1:0", false, why);
	int c, shared, shared2;

	assert_true(fd >= 0);
	assert_int_equal(sock_name(fd, name, sizeof name), 0);
	assert_memory_equal(name, "127.0.0.1:", 10);
	assert_string_not_equal(name, "127.0.0.1:0");
	assert_int_equal(sock_listen_tcp(name, false, why), -EADDRINUSE);
	assert_non_null(strstr(why, name));
	c = sock_connect(name, why);
	assert_true(c >= 0);
	close(c);
	close(fd);
	shared = sock_listen_tcp("127.0.0.1:0", true, why);
	assert_int_equal(sock_name(shared, again, sizeof again), 0);
	shared2 = sock_listen_tcp(again, true, why);
	assert_true(shared2 >= 0);
	assert_int_equal(sock_listen_tcp(again, false, why), -EADDRINUSE);
	close(shared);
	close(shared2);
}

static void test_tcp_addresses(void **state)
{
	static const char *const bad[] = {"127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536",
					  "127.0.0.1:-1", "::1:80", "[::1:80", "127.0.0.1:8 "};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		why[0] = '\0';
		assert_int_equal(sock_listen_tcp(bad[i], false, why), -EINVAL);
		assert_true(strlen(why) > 10);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_listen_and_connect, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_a_socket, setup, teardown),
		cmocka_unit_test_setup_teardown(test_parent, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_long, setup, teardown),
		cmocka_unit_test_setup_teardown(test_in_use, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_backlog, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stale, setup, teardown),
		cmocka_unit_test_setup_teardown(test_race, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tcp, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tcp_addresses, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
