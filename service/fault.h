/* fault.h: named points at which a build with --enable-fault-injection (on in
 * --enable-dev) can be made to die: tests drive the service there and look at what is left.
 *
 *   ERRAND_FAULT=NAME:N[:ACTION][,...]
 *
 * At the Nth time (from 1) that point NAME is passed, in any thread, ACTION is done:
 * kill (the default: SIGKILL, nothing is flushed or said beyond one line on stderr),
 * or stop (SIGSTOP, for a test that wants to look around and then decide).
 *
 *   statement      the store is about to run a statement that changes something,
 *                  BEGIN, COMMIT and ROLLBACK among them
 *   before-commit  all of a transaction is written, COMMIT is next
 *   after-commit   COMMIT has returned: durable, nobody knows yet
 *   before-done    one op's outcome is about to be told, on the loop: before an
 *                  answer, an event, the start of a claimed task
 *   checkpoint     the write-ahead log is about to be copied into the database
 *   move-STATE     a task's row is about to say it: move-RUNNING, move-SUCCEEDED ...
 *   upgrade        a step of the schema's upgrade is about to be made
 *   backup         a step of a backup is about to be made; backup-rename: its file
 *                  is whole and is about to be named
 *
 * In other builds the points cost nothing: they are not there. */
#ifndef SERVICE_FAULT_H
#define SERVICE_FAULT_H

#include "config.h"

#ifdef ERRAND_FAULT_INJECTION
/* The point's name is `name`, or "name-suffix". Any thread. */
void fault_point(const char *name, const char *suffix);
#else
static inline void fault_point(const char *name, const char *suffix)
{
	(void)name;
	(void)suffix;
}
#endif

#endif
