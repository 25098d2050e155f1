/* store_file.c: the database file's owner is whoever holds the flock on FILE.lock;
 * it is taken before anything of the file is touched, and the kernel lets it go
 * when its holder dies, however that happens. What is not ours or not whole is
 * refused with advice and left as it is. */
#define _GNU_SOURCE
#include "service/store_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/util.h"
#include "errand/status.h"

#define HOLDER_SIZE 96

static int PRINTF(4, 5) refuse(char *why, size_t size, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, size, fmt, ap);
	va_end(ap);
	return -code;
}

/* Who holds it, as he wrote it: "pid 12 on host", for the message. */
static const char *lock_holder(int fd, char text[HOLDER_SIZE])
{
	ssize_t n = pread(fd, text, HOLDER_SIZE - 1, 0);

	text[n > 0 ? n : 0] = 0;
	text[strcspn(text, "\n")] = 0;
	for (char *p = text; *p != 0; p++)
		if (*p < ' ' || *p == '"')
			*p = '?';
	return *text != 0 ? text : "another service";
}

/* The second line. */
static unsigned long long lock_mark(int fd)
{
	char text[HOLDER_SIZE + 32];
	ssize_t n = pread(fd, text, sizeof text - 1, 0);
	unsigned long long inode = 0;
	char *line;

	text[n > 0 ? n : 0] = 0;
	line = strchr(text, '\n');
	return line != NULL && sscanf(line, "\nopen %llu", &inode) == 1 ? inode : 0;
}

static int lock_write(int fd, unsigned long long mark)
{
	char text[HOLDER_SIZE + 32], host[65] = "";
	int n;

	gethostname(host, sizeof host - 1);
	n = snprintf(text, sizeof text, "pid %ld on %s\n", (long)getpid(), host);
	if (mark != 0)
		n += snprintf(text + n, sizeof text - (size_t)n, "open %llu\n", mark);
	return pwrite(fd, text, (size_t)n, 0) < n || ftruncate(fd, n) < 0 ? -1 : 0;
}

static int lock_take(struct store_file *f, char *why, size_t size)
{
	AUTO_FREE char *name = xasprintf("%s.lock", f->path);
	char holder[HOLDER_SIZE];

	f->lock_fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (f->lock_fd < 0)
		return refuse(why, size, ERRAND_UNAVAILABLE, "store %s: cannot open its lock %s: %s; "
			      "the directory must exist and be writable", f->path, name,
			      strerror(errno));
	if (flock(f->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		lock_holder(f->lock_fd, holder);
		close(f->lock_fd);
		f->lock_fd = -1;
		return refuse(why, size, ERRAND_ALREADY_EXISTS, "store %s: already in use by %s; stop "
			      "that service or name another file", f->path, holder);
	}
	f->mark = lock_mark(f->lock_fd);
	if (lock_write(f->lock_fd, f->mark) < 0)
		return refuse(why, size, ERRAND_UNAVAILABLE, "store %s: cannot write %s: %s", f->path,
			      name, strerror(errno));
	return 0;
}

/* A new name in a directory is durable when the directory is. */
static int sync_directory(const char *path)
{
	AUTO_FREE char *dir = xstrdup(path);
	AUTO_CLOSE int fd = -1;
	char *slash = strrchr(dir, '/');

	if (slash == NULL)
		fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	else {
		slash[slash == dir ? 1 : 0] = 0;
		fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	return fd < 0 || fsync(fd) < 0 ? -1 : 0;
}

static int make_file(struct store_file *f, char *why, size_t size)
{
	AUTO_CLOSE int fd = open(f->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	struct stat st;

	if (fd < 0 || sync_directory(f->path) < 0)
		return refuse(why, size, ERRAND_UNAVAILABLE, "store %s: cannot create it: %s", f->path,
			      strerror(errno));
	f->is_new = true;
	if (fstat(fd, &st) == 0)
		f->inode = st.st_ino;
	return 0;
}

static int look_at_header(struct store_file *f, char *why, size_t size)
{
	AUTO_CLOSE int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char head[100];
	ssize_t n;

	if (fd < 0)
		return refuse(why, size, ERRAND_UNAVAILABLE, "store %s: cannot open it: %s", f->path,
			      strerror(errno));
	n = read(fd, head, sizeof head);
	if (n == 0)
		return 0;
	if (n < (ssize_t)sizeof head || memcmp(head, "SQLite format 3", 16) != 0)
		return refuse(why, size, ERRAND_DATA_LOSS, "store %s: this is not an SQLite database "
			      "(or its header is damaged); it was not touched: name another file, or "
			      "move it aside and restore a copy", f->path);
	return 0;
}

/* Whoever had it died; what he committed last is in its log. */
static int look_at_mark(struct store_file *f, const char *log, char *why, size_t size)
{
	if (!f->unclean && f->mark == f->inode)
		return refuse(why, size, ERRAND_DATA_LOSS, "store %s: its log %s is missing or empty, and "
			      "with it what was committed last; put it back, or, to go on without it, remove "
			      "%s.lock", f->path, log, f->path);
	if (f->unclean && f->mark != f->inode)
		return refuse(why, size, ERRAND_DATA_LOSS, "store %s: the log %s is another file's, which was "
			      "replaced by this one; move the log aside, or, if both were moved here, remove "
			      "%s.lock", f->path, log, f->path);
	f->marked = f->unclean;
	return 0;
}

static int look_at_file(struct store_file *f, char *why, size_t size)
{
	AUTO_FREE char *log = xasprintf("%s-wal", f->path);
	struct stat st, log_st;
	bool has_log = lstat(log, &log_st) == 0;

	if (lstat(f->path, &st) < 0 && errno == ENOENT) {
		if (has_log && log_st.st_size > 0)
			return refuse(why, size, ERRAND_DATA_LOSS, "store %s: the file is missing but its "
				      "log %s is there; restore the file, or move the log aside to "
				      "begin empty", f->path, log);
		return make_file(f, why, size);
	}
	if (!S_ISREG(st.st_mode) || st.st_nlink > 1)
		return refuse(why, size, ERRAND_FAILED_PRECONDITION, "store %s: %s; name the file itself, "
			      "for its lock and its log lie beside it under the same name", f->path,
			      S_ISREG(st.st_mode) ? "it has several names (hard links)" :
			      S_ISLNK(st.st_mode) ? "it is a symbolic link" : "it is no regular file");
	f->is_new = st.st_size == 0;
	f->unclean = has_log && log_st.st_size > 0;
	f->size = st.st_size + (f->unclean ? log_st.st_size : 0);
	/* SQLite would drop the log of an empty file without a word. */
	if (f->is_new && f->unclean)
		return refuse(why, size, ERRAND_DATA_LOSS, "store %s: the file is empty but its log %s is "
			      "not; restore the file, or move both aside to begin empty", f->path, log);
	f->inode = st.st_ino;
	if (f->mark != 0 && look_at_mark(f, log, why, size) < 0)
		return -ERRAND_DATA_LOSS;
	return look_at_header(f, why, size);
}

int store_file_claim(struct store_file *f, const char *path, char *why, size_t why_size)
{
	int r;

	*f = (struct store_file){.lock_fd = -1, .path = xstrdup(path)};
	if (*path == 0)
		r = refuse(why, why_size, ERRAND_INVALID_ARGUMENT,
			   "store sqlite: no file named; write sqlite:FILE");
	else if ((r = lock_take(f, why, why_size)) == 0)
		r = look_at_file(f, why, why_size);
	if (r < 0)
		store_file_release(f);
	return r;
}

void store_file_mark(struct store_file *f)
{
	if (!f->marked && lock_write(f->lock_fd, f->inode) == 0)
		f->marked = true;
}

static bool has_log(const struct store_file *f)
{
	AUTO_FREE char *log = xasprintf("%s-wal", f->path);
	struct stat st;

	return lstat(log, &st) == 0 && st.st_size > 0;
}

/* The lock's file stays: taking it away would race with the next holder. */
void store_file_release(struct store_file *f)
{
	if (f->marked && !has_log(f))
		lock_write(f->lock_fd, 0);
	if (f->lock_fd >= 0)
		close(f->lock_fd);
	free(f->path);
	*f = (struct store_file){.lock_fd = -1};
}
