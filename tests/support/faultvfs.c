/* faultvfs.c: see faultvfs.h. All but opening, deleting and a file's changes is the
 * usual VFS's own. */
#define _GNU_SOURCE
#include "faultvfs.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/util.h"

#define FILES_MAX 8
#define SECTOR 512

struct file {
	sqlite3_file base;
	sqlite3_file *real; /* behind this struct, in memory SQLite gave */
	unsigned name;      /* in names */
};

/* One change, as it was asked for. */
struct change {
	enum faultvfs_op op;
	unsigned name;
	sqlite3_int64 at;    /* of a write; the new size of a truncate */
	unsigned char *data; /* owned */
	size_t len;
};

static struct {
	sqlite3_vfs vfs, *real;
	char *names[FILES_MAX]; /* without their folder; owned */
	unsigned n_names;
	unsigned armed;         /* ops */
	long nth, times, n_armed;
	enum faultvfs_action action;
	long counts[FVFS_ALL];
	bool recording;
	struct change *changes; /* owned */
	size_t n_changes, cap;
} v;

/* --- counting and failing --- */

static unsigned name_of(const char *path)
{
	const char *slash = path != NULL ? strrchr(path, '/') : NULL;
	const char *name = path == NULL ? "temporary" : slash != NULL ? slash + 1 : path;

	for (unsigned i = 0; i < v.n_names; i++)
		if (strcmp(v.names[i], name) == 0)
			return i;
	assert(v.n_names < FILES_MAX);
	v.names[v.n_names] = xstrdup(name);
	return v.n_names++;
}

/* Does this one meet the action? */
static bool is_turn(enum faultvfs_op op)
{
	long n;

	v.counts[op]++;
	if (!(v.armed & op))
		return false;
	n = ++v.n_armed;
	return n >= v.nth && (v.times == 0 || n < v.nth + v.times);
}

static int fail_with(int code)
{
	if (v.action == FVFS_KILL)
		kill(getpid(), SIGKILL);
	errno = v.action == FVFS_FULL ? ENOSPC : EIO;
	return v.action == FVFS_FULL ? SQLITE_FULL : code;
}

static void record(enum faultvfs_op op, unsigned name, sqlite3_int64 at, const void *data, size_t len)
{
	struct change *c;

	if (!v.recording)
		return;
	if (v.n_changes == v.cap)
		v.changes = xrealloc(v.changes, (v.cap = v.cap ? 2 * v.cap : 256) * sizeof *v.changes);
	c = &v.changes[v.n_changes++];
	*c = (struct change){.op = op, .name = name, .at = at, .len = len};
	if (data != NULL) {
		c->data = xmalloc(len + 1);
		memcpy(c->data, data, len);
	}
}

static int file_write(sqlite3_file *f, const void *data, int len, sqlite3_int64 at)
{
	struct file *x = (struct file *)f;

	if (is_turn(FVFS_WRITE)) {
		if (v.action == FVFS_KILL)
			x->real->pMethods->xWrite(x->real, data, len / 2, at);
		return fail_with(SQLITE_IOERR_WRITE);
	}
	record(FVFS_WRITE, x->name, at, data, (size_t)len);
	return x->real->pMethods->xWrite(x->real, data, len, at);
}

/* Whoever dies here leaves the kernel alive: the disk itself need not be waited for. */
static int file_sync(sqlite3_file *f, int flags)
{
	struct file *x = (struct file *)f;

	if (is_turn(FVFS_SYNC))
		return fail_with(SQLITE_IOERR_FSYNC);
	record(FVFS_SYNC, x->name, 0, NULL, 0);
	return SQLITE_OK;
}

static int file_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	struct file *x = (struct file *)f;

	if (is_turn(FVFS_TRUNCATE))
		return fail_with(SQLITE_IOERR_TRUNCATE);
	record(FVFS_TRUNCATE, x->name, size, NULL, 0);
	return x->real->pMethods->xTruncate(x->real, size);
}

/* --- what passes --- */

#define REAL(f) (((struct file *)(f))->real)

static int file_close(sqlite3_file *f)
{
	return REAL(f)->pMethods == NULL ? SQLITE_OK : REAL(f)->pMethods->xClose(REAL(f));
}

static int file_read(sqlite3_file *f, void *out, int len, sqlite3_int64 at)
{
	return REAL(f)->pMethods->xRead(REAL(f), out, len, at);
}

static int file_size(sqlite3_file *f, sqlite3_int64 *out)
{
	return REAL(f)->pMethods->xFileSize(REAL(f), out);
}

static int file_lock(sqlite3_file *f, int level)
{
	return REAL(f)->pMethods->xLock(REAL(f), level);
}

static int file_unlock(sqlite3_file *f, int level)
{
	return REAL(f)->pMethods->xUnlock(REAL(f), level);
}

static int file_check_lock(sqlite3_file *f, int *out)
{
	return REAL(f)->pMethods->xCheckReservedLock(REAL(f), out);
}

static int file_control(sqlite3_file *f, int op, void *arg)
{
	return REAL(f)->pMethods->xFileControl(REAL(f), op, arg);
}

static int file_sector(sqlite3_file *f)
{
	return REAL(f)->pMethods->xSectorSize(REAL(f));
}

static int file_device(sqlite3_file *f)
{
	return REAL(f)->pMethods->xDeviceCharacteristics(REAL(f));
}

static int file_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
	return REAL(f)->pMethods->xShmMap(REAL(f), page, size, extend, out);
}

static int file_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
	return REAL(f)->pMethods->xShmLock(REAL(f), at, n, flags);
}

static void file_shm_barrier(sqlite3_file *f)
{
	REAL(f)->pMethods->xShmBarrier(REAL(f));
}

static int file_shm_unmap(sqlite3_file *f, int delete)
{
	return REAL(f)->pMethods->xShmUnmap(REAL(f), delete);
}

static const sqlite3_io_methods methods = {
	.iVersion = 2,
	.xClose = file_close,
	.xRead = file_read,
	.xWrite = file_write,
	.xTruncate = file_truncate,
	.xSync = file_sync,
	.xFileSize = file_size,
	.xLock = file_lock,
	.xUnlock = file_unlock,
	.xCheckReservedLock = file_check_lock,
	.xFileControl = file_control,
	.xSectorSize = file_sector,
	.xDeviceCharacteristics = file_device,
	.xShmMap = file_shm_map,
	.xShmLock = file_shm_lock,
	.xShmBarrier = file_shm_barrier,
	.xShmUnmap = file_shm_unmap,
};

static int vfs_open(sqlite3_vfs *vfs, sqlite3_filename path, sqlite3_file *f, int flags, int *out)
{
	struct file *x = (struct file *)f;

	*x = (struct file){.real = (sqlite3_file *)(x + 1), .name = name_of(path)};
	memset(x->real, 0, (size_t)v.real->szOsFile);
	x->base.pMethods = &methods;
	return v.real->xOpen(v.real, path, x->real, flags, out);
}

static int vfs_delete(sqlite3_vfs *vfs, const char *path, int sync)
{
	if (is_turn(FVFS_DELETE))
		return fail_with(SQLITE_IOERR_DELETE);
	record(FVFS_DELETE, name_of(path), 0, NULL, 0);
	return v.real->xDelete(v.real, path, sync);
}

void faultvfs_install(void)
{
	v.real = sqlite3_vfs_find(NULL);
	v.vfs = *v.real; /* what is not replaced reads pAppData and mxPathname, which are copied */
	v.vfs.pNext = NULL;
	v.vfs.zName = "fault";
	v.vfs.szOsFile = (int)sizeof(struct file) + v.real->szOsFile;
	v.vfs.xOpen = vfs_open;
	v.vfs.xDelete = vfs_delete;
	sqlite3_vfs_register(&v.vfs, 1);
}

/* --- what tests ask --- */

void faultvfs_reset(void)
{
	for (size_t i = 0; i < v.n_changes; i++)
		free(v.changes[i].data);
	free(v.changes);
	v.changes = NULL;
	v.n_changes = v.cap = 0;
	v.recording = false;
	v.armed = 0;
	memset(v.counts, 0, sizeof v.counts);
}

void faultvfs_arm(unsigned ops, long nth, long times, enum faultvfs_action action)
{
	v.armed = ops;
	v.nth = nth;
	v.times = times;
	v.action = action;
	v.n_armed = 0;
}

long faultvfs_count(unsigned ops)
{
	long n = 0;

	for (unsigned op = 1; op < FVFS_ALL; op <<= 1)
		n += ops & op ? v.counts[op] : 0;
	return n;
}

void faultvfs_record(void)
{
	v.recording = true;
}

size_t faultvfs_now(void)
{
	return v.n_changes;
}

/* --- a power cut --- */

static unsigned dice(unsigned *seed, unsigned sides)
{
	*seed = *seed * 1664525u + 1013904223u;
	return (*seed >> 12) % sides;
}

/* Is it followed by a sync of its file before the moment? */
static bool is_synced(const struct change *c, const struct change *end)
{
	for (const struct change *d = c + 1; d < end; d++)
		if (d->op == FVFS_SYNC && d->name == c->name)
			return true;
	return false;
}

static void grow(struct buf *b, size_t len)
{
	size_t old = b->len;

	if (len <= old)
		return;
	buf_reserve(b, len - old);
	memset(b->data + old, 0, len - old);
	b->len = len;
}

static void play_write(struct buf *file, const struct change *c, bool torn, unsigned *seed)
{
	size_t at = (size_t)c->at;

	grow(file, at + c->len);
	for (size_t done = 0, n; done < c->len; done += n) {
		n = MIN(SECTOR - (at + done) % SECTOR, c->len - done);
		if (!torn || dice(seed, 2))
			memcpy(file->data + at + done, c->data + done, n);
	}
}

static void play(struct buf *file, bool *there, const struct change *c, bool synced, unsigned *seed)
{
	unsigned luck = synced ? 0 : dice(seed, 3); /* whole, not at all, in part */

	if (luck == 1 || c->op == FVFS_SYNC)
		return;
	*there = true;
	if (c->op == FVFS_WRITE) {
		play_write(file, c, luck == 2, seed);
	} else if (c->op == FVFS_TRUNCATE) {
		grow(file, (size_t)c->at);
		file->len = (size_t)c->at;
	} else {
		file->len = 0;
		*there = false;
	}
}

void faultvfs_power_cut(size_t moment, unsigned seed, const char *dir)
{
	const struct change *end = v.changes + moment;

	for (unsigned i = 0; i < v.n_names; i++) {
		AUTO_FREE char *path = xasprintf("%s/%s", dir, v.names[i]);
		AUTO_CLOSE int fd = -1;
		AUTO_BUF file = BUF_INIT;
		bool there = false;

		for (const struct change *c = v.changes; c < end; c++)
			if (c->name == i)
				play(&file, &there, c, c->op == FVFS_DELETE || is_synced(c, end), &seed);
		unlink(path);
		if (!there)
			continue;
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0 || write(fd, file.data, file.len) != (ssize_t)file.len)
			abort();
	}
}
