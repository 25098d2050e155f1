/* store_file.h: a database file before it is opened: whose is it, and is it what
 * it should be. Knows no SQLite beyond the first bytes of its file format.
 * Start-up thread, then the store's.
 *
 * PATH.lock says in its first line who holds it, and in the second, from the first commit
 * until the log was copied back at the end, that the log is a part of the file:
 * "open INODE". So a log that somebody took away after a crash, or that lies beside
 * another file than its own (a restored copy), is noticed. */
#ifndef SERVICE_STORE_FILE_H
#define SERVICE_STORE_FILE_H

#include <stdbool.h>
#include <stddef.h>

struct store_file {
	int lock_fd;    /* holds the flock on PATH.lock; -1 = none */
	char *path;     /* owned */
	bool is_new;    /* was made just now, empty */
	bool unclean;   /* its last user did not close it: a write-ahead log is there */
	bool marked;    /* the lock says "open" */
	unsigned long long inode, mark; /* of the file; what the lock said, 0 = nothing */
	long long size; /* bytes, with the log */
};

/* Takes the lock (PATH.lock, with our pid inside), makes the file (0600) when there
 * is none, and looks at its header. Negative errand_code with the reason and what
 * to do in why; nothing of the file has been changed then. */
int store_file_claim(struct store_file *f, const char *path, char *why, size_t why_size);
/* Its log has something: it is a part of it from now on. */
void store_file_mark(struct store_file *f);
/* The mark goes when the log has gone. */
void store_file_release(struct store_file *f);

#endif
