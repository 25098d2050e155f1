/* store_check.h: is a store's file sound? Of SQLite by its own check, of errand by what
 * must be true of its rows (the table in store_sqlite_check.c). The file is read, never
 * written; nobody may be using it. Any thread. */
#ifndef SERVICE_STORE_CHECK_H
#define SERVICE_STORE_CHECK_H

#include <stddef.h>
#include <stdint.h>

#define STORE_FAULTS_MAX 100

struct store_report {
	int version;    /* of the schema */
	uint64_t tasks;
	char **faults;  /* owned, in words */
	size_t n;       /* at most STORE_FAULTS_MAX */
};
void store_report_deinit(struct store_report *r);

/* 0: it was looked at, and out says what was found; negative errand_code: it could not
 * be, why says what to do. */
int store_check_file(const char *path, struct store_report *out, char *why, size_t why_size);

/* Of a store as --store names it: what was found on stdout, errors on stderr. 0: sound;
 * -ERRAND_DATA_LOSS: it is not; another negative errand_code: it cannot be checked. */
int store_check_command(const char *spec);

#endif
