#define _GNU_SOURCE
#include "cli/gen_file.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "cli/cli.h"

extern char **environ;

static bool read_fd(int fd, struct buf *out)
{
	ssize_t n;

	do {
		uint8_t *p = buf_reserve(out, 65536);

		if (p == NULL)
			return false;
		n = read(fd, p, 65536);
		if (n > 0)
			out->len += (size_t)n;
	} while (n > 0 || (n < 0 && errno == EINTR));
	return n == 0;
}

bool gen_read(const char *path, struct buf *out)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || !read_fd(fd, out)) {
		cli_error("%s: %s", path, strerror(errno));
		return false;
	}
	return true;
}

static bool is_same(const char *path, const void *data, size_t len)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	AUTO_BUF there = BUF_INIT;

	return fd >= 0 && read_fd(fd, &there) && there.len == len &&
	       (len == 0 || memcmp(there.data, data, len) == 0);
}

static void make_parents(const char *path)
{
	AUTO_FREE char *dir = xstrdup(path);

	for (char *slash = strchr(dir + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(dir, 0777); /* what fails here fails again, with a name, in open */
		*slash = '/';
	}
}

static bool write_all(int fd, const uint8_t *p, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

bool gen_write(const char *path, const void *data, size_t len)
{
	AUTO_FREE char *temporary = xasprintf("%s.%ld.tmp", path, (long)getpid());
	AUTO_CLOSE int fd = -1;

	if (is_same(path, data, len))
		return true;
	make_parents(path);
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0 || !write_all(fd, data, len) || rename(temporary, path) < 0) {
		cli_error("%s: %s", path, strerror(errno));
		unlink(temporary);
		return false;
	}
	return true;
}

/* --- the set as C --- */

void gen_schema_h(const char *name, const char *source, size_t len, struct buf *out)
{
	AUTO_FREE char *guard = xasprintf("%s_SCHEMA_H", name);

	for (char *p = guard; *p != '\0'; p++)
		*p = (char)toupper((unsigned char)*p);
	buf_printf(out,
		"/* Made by errand gen from %s: do not edit. */\n"
		"#ifndef %s\n#define %s\n\n#include <stddef.h>\n#include <stdint.h>\n\n"
		"#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n"
		"/* A serialized google.protobuf.FileDescriptorSet. Its length is a constant, so\n"
		" * that a module's static struct can hold it. */\n"
		"extern const uint8_t %s_schema[];\nenum { %s_schema_len = %zu };\n\n"
		"#ifdef __cplusplus\n}\n#endif\n#endif\n",
		source, guard, guard, name, name, len);
}

/* One byte of a string literal; next decides how long an octal escape must be. */
static void put_byte(struct buf *out, uint8_t c, int next)
{
	if (c == '"' || c == '\\' || c == '?') /* ?: no trigraphs */
		buf_printf(out, "\\%c", c);
	else if (c == '\n')
		buf_append_str(out, "\\n");
	else if (c >= 0x20 && c < 0x7f)
		buf_append_byte(out, c);
	else
		buf_printf(out, next >= '0' && next <= '7' ? "\\%03o" : "\\%o", c);
}

/* A string literal compiles many times faster than a list of numbers; its length
 * is given, so the array has no NUL at its end. */
void gen_schema_c(const char *name, const char *source, struct bytes set, struct buf *out)
{
	enum { LINE = 80 };

	buf_printf(out,
		"/* Made by errand gen from %s: do not edit. */\n"
		"#include \"%s.schema.h\"\n\n"
		"#ifdef __GNUC__\n#pragma GCC diagnostic ignored \"-Woverlength-strings\"\n"
		"#endif\n\n"
		"const uint8_t %s_schema[%zu] =",
		source, name, name, set.len);
	for (size_t at = 0; at < set.len; at += LINE) {
		size_t end = MIN(at + LINE, set.len);

		buf_append_str(out, "\n\t\"");
		for (size_t i = at; i < end; i++)
			put_byte(out, set.data[i], i + 1 < end ? set.data[i + 1] : -1);
		buf_append_str(out, "\"");
	}
	buf_append_str(out, ";\n");
}

int gen_run(const char *const *argv)
{
	int r, status;
	pid_t pid;

	r = posix_spawnp(&pid, argv[0], NULL, NULL, (char *const *)(uintptr_t)argv, environ);
	if (r != 0)
		return -r;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
