/* store_file.h: a database file before it is opened: whose is it, and is it what
 * it should be. Knows no SQLite beyond the first bytes of its file format.
 * Start-up thread. */
#ifndef SERVICE_STORE_FILE_H
#define SERVICE_STORE_FILE_H

#include <stdbool.h>
#include <stddef.h>

struct store_file {
	int lock_fd;    /* holds the flock on PATH.lock; -1 = none */
	char *path;     /* owned */
	bool is_new;    /* was made just now, empty */
	bool unclean;   /* its last user did not close it: a write-ahead log is there */
	long long size; /* bytes, with the log */
};

/* Takes the lock (PATH.lock, with our pid inside), makes the file (0600) when there
 * is none, and looks at its header. Negative errand_code with the reason and what
 * to do in why; nothing of the file has been changed then. */
int store_file_claim(struct store_file *f, const char *path, char *why, size_t why_size);
void store_file_release(struct store_file *f);

#endif
