/* doctor_host.c: the machine under the service: its clock, limits and kernel. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/doctor_impl.h"

#define STEP_US (2 * US_PER_S)  /* of the wall clock against the other: somebody has set it */
#define EPOCH_US (1704067200 * US_PER_S) /* 2024: no clock is before it */

/* --- the clock --- */

/* How far the wall clock has been moved since the service started, which notes both. */
static int64_t clock_step(const struct doctor *d, int64_t *out_us)
{
	int64_t wall = clock_wall_us(), mono = clock_mono_ns();
	int64_t drift;

	nanosleep(&(struct timespec){0, 20 * NS_PER_MS}, NULL);
	drift = (clock_wall_us() - wall) - (clock_mono_ns() - mono) / 1000;
	*out_us = drift;
	if (d->answers && d->server.start_us > 0)
		*out_us = clock_wall_us() - d->server.start_us - d->server.uptime_us - (clock_mono_ns() - d->asked_ns) / 1000;
	return *out_us < 0 ? -*out_us : *out_us;
}

void doctor_clock(struct doctor *d)
{
	struct timex t = {.modes = 0};
	int state = adjtimex(&t);
	int64_t step;
	char now[28];

	clock_format(clock_wall_us(), now);
	if (clock_wall_us() < EPOCH_US)
		doctor_say(d, DOCTOR_FAIL, "clock", "set it: schedules, deadlines and certificates depend on it", "it is %s", now);
	else if (clock_step(d, &step) > STEP_US)
		doctor_say(d, DOCTOR_WARN, "clock", "schedules of that time may have run early, late or twice; restart the service to be sure",
			   "the wall clock was set %s by %.1f s since the service started", step > 0 ? "forward" : "back",
			   (double)(step > 0 ? step : -step) / US_PER_S);
	else
		doctor_say(d, DOCTOR_OK, "clock", NULL, "%s, no step; %s", now, state < 0 || state == TIME_ERROR ?
			   "not known to be synchronized" : "synchronized");
}

/* --- limits --- */

/* The soft limit of open files of a process, 0 when it cannot be seen. */
static uint64_t files_of(pid_t pid)
{
	AUTO_FREE char *path = xasprintf("/proc/%d/limits", (int)pid);
	FILE *f = fopen(path, "re");
	unsigned long long n = 0;
	char line[256];

	while (f != NULL && fgets(line, sizeof line, f) != NULL)
		if (sscanf(line, "Max open files %llu", &n) == 1)
			break;
	if (f != NULL)
		fclose(f);
	return n;
}

static void look_at_files(struct doctor *d)
{
	uint64_t have = files_of((pid_t)d->server.pid), need = d->server.max_sessions + 128;

	if (have == 0)
		return;
	doctor_say(d, have >= need ? DOCTOR_OK : DOCTOR_WARN, "limit-files", have >= need ? NULL :
		   "LimitNOFILE= of its unit (or ulimit -n) higher, or --max-connections lower",
		   "the service may have %llu files open; --max-connections %llu and the rest want %llu",
		   (unsigned long long)have, (unsigned long long)d->server.max_sessions, (unsigned long long)need);
}

/* The cgroup (version 2) of the service, as a directory; NULL: there is none. */
static char *cgroup_of(pid_t pid)
{
	AUTO_FREE char *path = xasprintf("/proc/%d/cgroup", (int)pid);
	FILE *f = fopen(path, "re");
	char line[1024], *found = NULL;

	while (f != NULL && found == NULL && fgets(line, sizeof line, f) != NULL)
		if (strncmp(line, "0::", 3) == 0) {
			line[strcspn(line, "\n")] = '\0';
			found = xasprintf("/sys/fs/cgroup%s", line + 3);
		}
	if (f != NULL)
		fclose(f);
	return found;
}

static void look_at_cgroup(struct doctor *d)
{
	AUTO_FREE char *folder = cgroup_of((pid_t)d->server.pid);
	AUTO_FREE char *procs = folder != NULL ? xasprintf("%s/cgroup.procs", folder) : NULL;
	AUTO_FREE char *self = xasprintf("/proc/%lld", (long long)d->server.pid);
	struct stat st, owner;

	if (procs == NULL || stat(procs, &st) < 0 || stat(self, &owner) < 0)
		doctor_say(d, DOCTOR_OK, "cgroup", NULL, "no cgroup version 2: memory and CPU time of programs are measured, not held");
	else if (owner.st_uid == 0 || st.st_uid == owner.st_uid)
		doctor_say(d, DOCTOR_OK, "cgroup", NULL, "delegated: %s", folder);
	else
		doctor_say(d, DOCTOR_WARN, "cgroup", "Delegate=yes in its unit, when programs are run",
			   "%s is not the service's: memory and CPU time of programs are measured, not held", folder);
}

void doctor_limits(struct doctor *d)
{
	if (!d->answers || d->server.pid <= 0)
		return;
	look_at_files(d);
	look_at_cgroup(d);
}

/* --- the kernel --- */

void doctor_kernel(struct doctor *d)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, 1 /* the version */);
	int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);

	if (abi > 0)
		doctor_say(d, DOCTOR_OK, "landlock", NULL, "version %ld", abi);
	else
		doctor_say(d, DOCTOR_WARN, "landlock", "Linux 5.13 with lsm=landlock: without it programs may use all files of "
			   "their user", "not there");
	if (fd >= 0)
		doctor_say(d, DOCTOR_OK, "pidfd", NULL, "there");
	else
		doctor_say(d, DOCTOR_WARN, "pidfd", "Linux 5.3, and no sandbox that forbids it", "not there: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
}
