/* faultvfs.h: an SQLite VFS in front of the usual one, for programs of tests: it counts
 * what is done to files, and at the Nth time fails it, or kills the process in the
 * middle of it; and it records, so that a power cut at any moment can be played. One
 * thread. */
#ifndef TESTS_FAULTVFS_H
#define TESTS_FAULTVFS_H

#include <stdbool.h>
#include <stddef.h>

enum faultvfs_op { FVFS_WRITE = 1, FVFS_SYNC = 2, FVFS_TRUNCATE = 4, FVFS_DELETE = 8, FVFS_ALL = 15 };
enum faultvfs_action {
	FVFS_EIO,  /* the disk is broken */
	FVFS_FULL, /* no room (writes) */
	FVFS_KILL, /* SIGKILL, a write half done */
};

/* Becomes the default of all connections opened from now on. Once. */
void faultvfs_install(void);
/* No faults, counts from 0, nothing recorded. */
void faultvfs_reset(void);
/* The nth (from 1, since the last reset) of these ops, and `times` - 1 more after it,
 * meet the action; times 0 = all of them. */
void faultvfs_arm(unsigned ops, long nth, long times, enum faultvfs_action action);
/* How many of these ops there were since the last reset. */
long faultvfs_count(unsigned ops);

/* Keeps everything that is done from now on; the files must be empty or new. */
void faultvfs_record(void);
/* How much is recorded: a moment, for faultvfs_power_cut. */
size_t faultvfs_now(void);
/* Writes into dir the files as a disk may have them when the power fails at that moment:
 * what was not synced is there, not there, or there in part (sectors of 512 bytes), as
 * the dice of `seed` fall. Files are called as they were, without their folder. */
void faultvfs_power_cut(size_t moment, unsigned seed, const char *dir);

#endif
