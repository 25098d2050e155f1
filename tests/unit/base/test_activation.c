/* Sockets that were given at the start: whose they are, which of them have a name. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/activation.h"

static void tell(const char *pid, const char *n, const char *names)
{
	char own[24];

	snprintf(own, sizeof own, "%ld", (long)getpid());
	setenv("LISTEN_PID", pid != NULL ? pid : own, 1);
	setenv("LISTEN_FDS", n, 1);
	if (names != NULL)
		setenv("LISTEN_FDNAMES", names, 1);
	else
		unsetenv("LISTEN_FDNAMES");
}

/* Descriptors 3, 4 and 5 are there in these tests, and inherited. */
static int setup(void **state)
{
	for (int fd = 3; fd < 6; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDONLY) != fd)
			return -1;
		fcntl(fd, F_SETFD, 0);
	}
	return 0;
}

static void test_names(void **state)
{
	int fds[8];

	tell(NULL, "3", "http:tls:http");
	assert_int_equal(activation_take(NULL, fds, 8), 3);
	assert_int_equal(fds[0], 3);
	assert_int_equal(fds[2], 5);
	assert_int_equal(activation_take("http", fds, 8), 2);
	assert_int_equal(fds[0], 3);
	assert_int_equal(fds[1], 5);
	assert_int_equal(activation_take("tls", fds, 8), 1);
	assert_int_equal(fds[0], 4);
	assert_int_equal(activation_take("http", fds, 1), 1);
	assert_int_equal(activation_take("htt", fds, 8), 0);
	assert_int_equal(activation_take("http:tls", fds, 8), 0);
	assert_int_equal(activation_take("", fds, 8), 0);
	tell(NULL, "2", NULL);
	assert_int_equal(activation_take("unknown", fds, 8), 2);
	tell(NULL, "3", "http"); /* fewer names than sockets */
	assert_int_equal(activation_take("http", fds, 8), 1);
	assert_int_equal(activation_take("unknown", fds, 8), 0);
}

static void test_marks_them(void **state)
{
	int fds[8];

	tell(NULL, "1", "a");
	assert_int_equal(fcntl(3, F_GETFD), 0);
	assert_int_equal(activation_take("b", fds, 8), 0); /* of another name, or too many: not left open either */
	assert_int_equal(fcntl(3, F_GETFD), FD_CLOEXEC);
	assert_int_equal(activation_take("a", fds, 8), 1);
	assert_int_equal(fcntl(3, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(4, F_GETFD), 0); /* was not given */
	assert_int_equal(activation_take("a", fds, 8), 1); /* again */
}

static void test_not_ours(void **state)
{
	static const char *const pids[] = {"1", "", "x", "-1", "99999999999999999999"};
	static const char *const numbers[] = {"", "-3", "x", "3x", "0", "99999", "99999999999999999999"};
	int fds[8];

	for (size_t i = 0; i < sizeof pids / sizeof *pids; i++) {
		tell(pids[i], "3", "a:b:c");
		assert_int_equal(activation_take(NULL, fds, 8), 0);
	}
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		tell(NULL, numbers[i], NULL);
		assert_int_equal(activation_take(NULL, fds, 8), 0);
	}
	unsetenv("LISTEN_PID");
	assert_int_equal(activation_take(NULL, fds, 8), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_names, setup),
		cmocka_unit_test_setup(test_marks_them, setup),
		cmocka_unit_test_setup(test_not_ours, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
