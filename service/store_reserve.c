/* store_reserve.c: see store_reserve.h. */
#define _GNU_SOURCE
#include "service/store_reserve.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"

void store_reserve_init(struct store_reserve *r, const char *path, int64_t bytes)
{
	*r = (struct store_reserve){.path = xasprintf("%s.reserve", path), .bytes = bytes};
	if (bytes > 0)
		return;
	unlink(r->path);
	store_reserve_deinit(r);
}

void store_reserve_deinit(struct store_reserve *r)
{
	free(r->path);
	*r = (struct store_reserve){0};
}

/* Is it there, with all its blocks, from before? */
static bool is_whole(int fd, int64_t bytes)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_size == bytes && st.st_blocks * 512 >= bytes;
}

static bool allocate(int fd, int64_t bytes)
{
	if (is_whole(fd, bytes))
		return true;
	if (posix_fallocate(fd, 0, 2 * bytes) == 0 && ftruncate(fd, bytes) == 0)
		return true;
	if (ftruncate(fd, 0) < 0)
		log_warn("store: the reserve cannot be given up", "error=\"%s\"", strerror(errno));
	return false;
}

bool store_reserve_take(struct store_reserve *r)
{
	AUTO_CLOSE int fd = -1;

	if (r->path == NULL || r->held)
		return true;
	fd = open(r->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	r->held = fd >= 0 && allocate(fd, r->bytes);
	return r->held;
}

bool store_reserve_spend(struct store_reserve *r)
{
	bool held = r->held;

	if (held && truncate(r->path, 0) < 0 && errno != ENOENT)
		log_warn("store: the reserve cannot be given up", "file=%s error=\"%s\"", r->path,
			 strerror(errno));
	r->held = false;
	return held;
}
