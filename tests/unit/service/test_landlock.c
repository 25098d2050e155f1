/* test_landlock.c: the rules of each version of Landlock, against a table of system calls
 * that notes what it is asked; so every version is tried on any kernel. */
#define _GNU_SOURCE
#include "service/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/util.h"

/* --- a kernel that notes --- */

static struct {
	struct landlock_ruleset rules;
	int create_errno, add_errno; /* 0: it works */
	struct noted {
		char path[256];
		uint64_t access;
	} added[32];
	size_t n;
} fake;

static int fake_create(const struct landlock_ruleset *rules)
{
	fake.rules = *rules;
	errno = fake.create_errno;
	return fake.create_errno ? -1 : open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int fake_add(int ruleset, int fd, uint64_t access)
{
	char link[64];
	ssize_t len;

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	assert_true(fake.n < ARRAY_LEN(fake.added));
	len = readlink(link, fake.added[fake.n].path, sizeof fake.added[0].path - 1);
	assert_true(len > 0);
	fake.added[fake.n++].access = access;
	/* As the kernel does: nothing that is not handled, nothing of directories on files. */
	assert_int_equal(access & ~fake.rules.files, 0);
	errno = fake.add_errno;
	return fake.add_errno ? -1 : 0;
}

static const struct landlock_calls calls = {fake_create, fake_add};

static const struct noted *added(const char *path)
{
	AUTO_FREE char *real = realpath(path, NULL);

	for (size_t i = fake.n; real != NULL && i-- > 0;)
		if (strcmp(fake.added[i].path, real) == 0)
			return &fake.added[i];
	return NULL;
}

static int make(int abi, const char *const *read, const char *const *write, const char **badp)
{
	const struct landlock_paths paths = {"/bin/sh", read, write};
	int fd, rc;

	fake.n = 0;
	rc = landlock_rules_by(&calls, abi, &paths, &fd, badp);
	assert_int_equal(fd >= 0, rc == 0);
	if (fd >= 0)
		close(fd);
	return rc;
}

/* --- */

enum { EXECUTE = 1, WRITE_FILE = 2, READ_FILE = 4, READ_DIR = 8, MAKE_CHAR = 1 << 6, MAKE_REG = 1 << 8,
       MAKE_BLOCK = 1 << 11, REFER = 1 << 13, TRUNCATE = 1 << 14, IOCTL_DEV = 1 << 15 };

static void each_version_handles_what_it_knows(void **state)
{
	static const struct {
		int abi;
		uint64_t files, scoped;
	} table[] = {
		{1, 0x1fff, 0}, {2, 0x3fff, 0}, {3, 0x7fff, 0}, {4, 0x7fff, 0}, {5, 0xffff, 0},
		{6, 0xffff, 2}, {7, 0xffff, 2}, {99, 0xffff, 2},
	};
	const char *write[] = {"/tmp", NULL}, *bad;

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		assert_int_equal(make(table[i].abi, NULL, write, &bad), 0);
		assert_int_equal(fake.rules.files, table[i].files);
		assert_int_equal(fake.rules.scoped, table[i].scoped);
		assert_int_equal(fake.rules.net, 0);
		assert_int_equal(added("/tmp")->access & REFER, table[i].abi >= 2 ? REFER : 0);
		assert_int_equal(added("/tmp")->access & TRUNCATE, table[i].abi >= 3 ? TRUNCATE : 0);
		assert_int_equal(added("/tmp")->access & IOCTL_DEV, table[i].abi >= 5 ? IOCTL_DEV : 0);
	}
}

static void reading_is_not_writing_nor_the_reverse(void **state)
{
	const char *read[] = {"/usr/share", NULL}, *write[] = {"/tmp", NULL}, *bad;

	assert_int_equal(make(6, read, write, &bad), 0);
	assert_int_equal(added("/usr/share")->access, EXECUTE | READ_FILE | READ_DIR);
	assert_int_equal(added("/tmp")->access & EXECUTE, 0);
	assert_int_equal(added("/tmp")->access & (MAKE_CHAR | MAKE_BLOCK), 0);
	assert_int_equal(added("/tmp")->access & (WRITE_FILE | READ_FILE | READ_DIR | MAKE_REG),
			 WRITE_FILE | READ_FILE | READ_DIR | MAKE_REG);
}

/* Rights of directories on a file are EINVAL to the kernel. */
static void files_have_rights_of_files(void **state)
{
	const char *read[] = {"/etc/passwd", NULL}, *write[] = {"/dev/null", NULL}, *bad;

	assert_int_equal(make(6, read, write, &bad), 0);
	assert_int_equal(added("/etc/passwd")->access, EXECUTE | READ_FILE);
	assert_int_equal(added("/dev/null")->access, READ_FILE | WRITE_FILE | TRUNCATE | IOCTL_DEV);
	assert_int_equal(added("/bin/sh")->access, EXECUTE | READ_FILE);
}

static void nothing_more_is_let_in(void **state)
{
	const char *none[] = {NULL}, *bad;

	assert_int_equal(make(6, none, none, &bad), 0);
	for (size_t i = 0; i < fake.n; i++) {
		assert_true(strstr(fake.added[i].path, "/lib") != NULL || added("/bin/sh") == &fake.added[i] ||
			    strcmp(fake.added[i].path, "/etc/ld.so.cache") == 0);
		assert_int_equal(fake.added[i].access & ~(uint64_t)(EXECUTE | READ_FILE | READ_DIR), 0);
	}
	assert_non_null(added("/usr/lib"));
}

static void what_fails_is_named(void **state)
{
	const char *read[] = {"/usr", "/nonexistent/a", NULL}, *bad;

	assert_int_equal(make(1, read, NULL, &bad), -ENOENT);
	assert_string_equal(bad, "/nonexistent/a");
	assert_int_equal(make(1, NULL, read, &bad), -ENOENT);
	assert_string_equal(bad, "/nonexistent/a");
	assert_int_equal(make(0, NULL, NULL, &bad), -EOPNOTSUPP);
	assert_null(bad);
	fake.add_errno = ENOMEM;
	assert_int_equal(make(1, NULL, NULL, &bad), -ENOMEM);
	assert_string_equal(bad, "/bin/sh");
	fake.add_errno = 0;
	fake.create_errno = ENOSYS;
	assert_int_equal(make(1, NULL, NULL, &bad), -EOPNOTSUPP);
	fake.create_errno = EMFILE;
	assert_int_equal(make(1, NULL, NULL, &bad), -EMFILE);
	fake.create_errno = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_version_handles_what_it_knows),
		cmocka_unit_test(reading_is_not_writing_nor_the_reverse),
		cmocka_unit_test(files_have_rights_of_files),
		cmocka_unit_test(nothing_more_is_let_in),
		cmocka_unit_test(what_fails_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
