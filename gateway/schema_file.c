/* schema_file.c: see schema_file.h. */
#define _GNU_SOURCE
#include "gateway/schema_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "gateway/snapshot.h"

enum { READ_SIZE = 64 << 10, FILE_BYTES_MAX = 64 << 20 };

static int file_refused(const char *path, const char *why)
{
	AUTO_BUF name = BUF_INIT;

	log_quote(&name, path, strlen(path));
	log_error("cannot read the schema", "file=%s why=\"%s\"", buf_cstr(&name), why);
	return -ERRAND_FAILED_PRECONDITION;
}

static int file_read(const char *path, struct buf *out)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = -1;

	while (fd >= 0 && out->len <= FILE_BYTES_MAX && buf_reserve(out, READ_SIZE) != NULL &&
	       (n = read(fd, out->data + out->len, READ_SIZE)) > 0)
		out->len += (size_t)n;
	if (n < 0)
		return file_refused(path, strerror(errno));
	return n > 0 ? file_refused(path, "it is over 64 MiB") : 0;
}

int schema_file_load(const char *path)
{
	AUTO_BUF set = BUF_INIT, name = BUF_INIT;
	char why[512] = "";
	int r = file_read(path, &set);

	if (r < 0)
		return r;
	r = snapshot_publish_file(buf_bytes(&set), why, sizeof why);
	if (r < 0) { /* why has been said */
		log_quote(&name, path, strlen(path));
		log_error("cannot use the schema", "file=%s", buf_cstr(&name));
	}
	return r;
}
