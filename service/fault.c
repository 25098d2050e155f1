/* fault.c: see fault.h. ERRAND_FAULT is read once; a mistake in it ends the process,
 * for a test that never reaches its point proves nothing. Any thread. */
#define _GNU_SOURCE
#include "service/fault.h"

#ifdef ERRAND_FAULT_INJECTION

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define FAULTS_MAX 16
#define NAME_SIZE 40

static struct fault {
	char name[NAME_SIZE];
	long at;          /* the time that counts */
	int signal;
	atomic_long n;    /* times passed */
} faults[FAULTS_MAX];
static unsigned n_faults; /* written once, by load */
static pthread_once_t loaded = PTHREAD_ONCE_INIT;

static void wrong(const char *text)
{
	fprintf(stderr, "ERRAND_FAULT=%s: write NAME:N[:kill|stop][,...]; service/fault.h has the names\n",
		text);
	_exit(EX_USAGE);
}

static bool parse(const char *text, struct fault *f)
{
	const char *colon = strchr(text, ':');
	size_t len = colon == NULL ? 0 : (size_t)(colon - text);
	char *end;

	if (len == 0 || len >= sizeof f->name)
		return false;
	memcpy(f->name, text, len);
	f->at = strtol(colon + 1, &end, 10);
	f->signal = strcmp(end, ":stop") == 0 ? SIGSTOP : SIGKILL;
	return f->at > 0 && (*end == 0 || strcmp(end, ":stop") == 0 || strcmp(end, ":kill") == 0);
}

static void load(void)
{
	const char *given = getenv("ERRAND_FAULT");
	char *text = given != NULL ? strdup(given) : NULL;
	char *rest = text;

	for (char *one; rest != NULL && (one = strsep(&rest, ",")) != NULL;)
		if (n_faults == FAULTS_MAX || !parse(one, &faults[n_faults++]))
			wrong(given);
	free(text);
}

static void pass(struct fault *f, const char *name)
{
	char line[96];
	int n;

	if (strcmp(f->name, name) != 0 || atomic_fetch_add(&f->n, 1) + 1 != f->at)
		return;
	n = snprintf(line, sizeof line, "fault: %s:%ld\n", name, f->at);
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		_exit(EX_IOERR);
	kill(getpid(), f->signal);
}

void fault_point(const char *name, const char *suffix)
{
	char whole[NAME_SIZE];

	pthread_once(&loaded, load);
	if (n_faults == 0)
		return;
	snprintf(whole, sizeof whole, "%s%s%s", name, suffix != NULL ? "-" : "",
		 suffix != NULL ? suffix : "");
	for (unsigned i = 0; i < n_faults; i++)
		pass(&faults[i], whole);
}

#else

/* ISO C wants something in every file. */
typedef int fault_none;

#endif
