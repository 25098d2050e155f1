/* What a supervisor is told, and the sockets it gives. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/activation.h"
#include "base/notify.h"

/* A supervisor's socket of that name, which is in NOTIFY_SOCKET then. */
static int supervisor(const char *name)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	size_t len = strlen(name);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	memcpy(un.sun_path, name, len);
	if (*name == '@')
		un.sun_path[0] = '\0';
	assert_int_equal(bind(fd, (struct sockaddr *)&un,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (*name == '/'))), 0);
	setenv("NOTIFY_SOCKET", name, 1);
	return fd;
}

static const char *heard(int fd)
{
	static char text[1024];
	ssize_t n = recv(fd, text, sizeof text - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void says_how_it_is(int fd)
{
	long long before, told;
	struct timespec now;

	assert_true(notify_wanted());
	notify_ready();
	assert_string_equal(heard(fd), "READY=1");
	notify_stopping();
	assert_string_equal(heard(fd), "STOPPING=1");
	notify_watchdog();
	assert_string_equal(heard(fd), "WATCHDOG=1");
	notify_status("%d calls\nREADY=1\x7f", 3); /* no second assignment in it */
	assert_string_equal(heard(fd), "STATUS=3 calls READY=1 ");
	clock_gettime(CLOCK_MONOTONIC, &now);
	before = (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000;
	notify_reloading();
	assert_int_equal(sscanf(heard(fd), "RELOADING=1\nMONOTONIC_USEC=%lld", &told), 1);
	assert_in_range(told, before, before + 60 * 1000000);
	assert_string_equal(heard(fd), "");
}

static void test_path(void **state)
{
	char dir[] = "/tmp/errand-notify-XXXXXX", path[64];
	int fd;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/n", dir);
	fd = supervisor(path);
	says_how_it_is(fd);
	close(fd);
	notify_ready(); /* nobody reads: nothing happens */
	unlink(path);
	rmdir(dir);
	notify_ready();
}

static void test_abstract(void **state)
{
	char name[64];
	int fd;

	snprintf(name, sizeof name, "@errand-notify-%d", (int)getpid());
	fd = supervisor(name);
	says_how_it_is(fd);
	close(fd);
}

/* A supervisor that does not read is waited for by no watchdog and no status. */
static void test_full(void **state)
{
	char name[64];
	struct timespec a, b;
	int fd;

	snprintf(name, sizeof name, "@errand-full-%d", (int)getpid());
	fd = supervisor(name);
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (int i = 0; i < 2000; i++)
		notify_watchdog();
	notify_status("full");
	clock_gettime(CLOCK_MONOTONIC, &b);
	assert_in_range(b.tv_sec - a.tv_sec, 0, 4);
	close(fd);
}

static void test_nobody(void **state)
{
	char longer[300];

	memset(longer, 'x', sizeof longer - 1);
	longer[sizeof longer - 1] = '\0';
	longer[0] = '/';
	for (size_t i = 0; i < 5; i++) {
		const char *const names[] = {"", "/", "relative", "vsock:2:1", longer};

		setenv("NOTIFY_SOCKET", names[i], 1);
		assert_false(notify_wanted());
		notify_ready();
	}
	unsetenv("NOTIFY_SOCKET");
	assert_false(notify_wanted());
	notify_status("%s", "nobody");
}

static void test_watchdog(void **state)
{
	static const char *const not_numbers[] = {"", "-1", "0", "x", "10x", "99999999999999999999", "9223372036854775807"};
	char pid[24];

	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	setenv("NOTIFY_SOCKET", "@errand-none", 1);
	assert_int_equal(notify_watchdog_ns(), 0);
	setenv("WATCHDOG_USEC", "30000000", 1);
	assert_int_equal(notify_watchdog_ns(), 30000000000);
	snprintf(pid, sizeof pid, "%d", (int)getpid());
	setenv("WATCHDOG_PID", pid, 1);
	assert_int_equal(notify_watchdog_ns(), 30000000000);
	setenv("WATCHDOG_PID", "1", 1);
	assert_int_equal(notify_watchdog_ns(), 0);
	unsetenv("WATCHDOG_PID");
	for (size_t i = 0; i < sizeof not_numbers / sizeof *not_numbers; i++) {
		setenv("WATCHDOG_USEC", not_numbers[i], 1);
		assert_int_equal(notify_watchdog_ns(), 0);
	}
	setenv("WATCHDOG_USEC", "1000", 1);
	unsetenv("NOTIFY_SOCKET");
	assert_int_equal(notify_watchdog_ns(), 0);
}

/* Descriptors 3 to 5 are given; what was there comes back in the end. */
static void test_given(void **state)
{
	int fds[8] = {0}, kept[3];
	char pid[24];

	snprintf(pid, sizeof pid, "%d", (int)getpid());
	for (int i = 0; i < 3; i++) {
		kept[i] = fcntl(3 + i, F_DUPFD_CLOEXEC, 50);
		assert_int_equal(dup2(STDERR_FILENO, 3 + i), 3 + i);
	}
	unsetenv("LISTEN_FDNAMES");
	setenv("LISTEN_FDS", "3", 1);
	unsetenv("LISTEN_PID");
	assert_int_equal(activation_take(NULL, fds, 8), 0);
	setenv("LISTEN_PID", "1", 1);
	assert_int_equal(activation_take(NULL, fds, 8), 0); /* somebody else's */
	assert_int_equal(fcntl(3, F_GETFD) & FD_CLOEXEC, 0);
	setenv("LISTEN_PID", pid, 1);
	assert_int_equal(activation_take("service", fds, 8), 0);
	assert_int_equal(activation_take("unknown", fds, 8), 3);
	setenv("LISTEN_FDNAMES", "http:service:http", 1);
	assert_int_equal(activation_take("service", fds, 8), 1);
	assert_int_equal(fds[0], 4);
	assert_int_equal(fcntl(4, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(activation_take("http", fds, 8), 2);
	assert_int_equal(fds[1], 5);
	assert_int_equal(activation_take("htt", fds, 8), 0);
	assert_int_equal(activation_take(NULL, fds, 2), 2);
	setenv("LISTEN_FDS", "3x", 1);
	assert_int_equal(activation_take(NULL, fds, 8), 0);
	setenv("LISTEN_FDS", "99999999", 1);
	assert_int_equal(activation_take(NULL, fds, 8), 0);
	for (int i = 0; i < 3; i++) {
		close(3 + i);
		if (kept[i] >= 0) {
			dup2(kept[i], 3 + i);
			close(kept[i]);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_path),
		cmocka_unit_test(test_abstract),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_nobody),
		cmocka_unit_test(test_watchdog),
		cmocka_unit_test(test_given),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
