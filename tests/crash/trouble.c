/* trouble.c: preloaded into a daemon, makes its clocks jump and its forks fail while
 * it runs. What it does is written by the test into the file TROUBLE names, two
 * numbers of 64 bits and one more, shared memory of both:
 *
 *   wall   nanoseconds added to the wall clock (somebody set it)
 *   boot   nanoseconds added to CLOCK_BOOTTIME alone (the machine was suspended)
 *   forks  not 0: fork and vfork fail with EAGAIN
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct trouble {
	_Atomic int64_t wall, boot, forks;
};

static struct trouble none;
static struct trouble *trouble = &none;

static void __attribute__((constructor)) trouble_begin(void)
{
	const char *path = getenv("TROUBLE");
	int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *at;

	if (fd < 0)
		return;
	at = mmap(NULL, sizeof *trouble, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (at != MAP_FAILED)
		trouble = at;
}

static void add(struct timespec *ts, int64_t ns)
{
	int64_t sum = ts->tv_sec * 1000000000LL + ts->tv_nsec + ns;

	ts->tv_sec = sum / 1000000000;
	ts->tv_nsec = sum % 1000000000;
}

int clock_gettime(clockid_t clock, struct timespec *ts)
{
	int r = (int)syscall(SYS_clock_gettime, clock, ts);

	if (r == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		add(ts, trouble->wall);
	if (r == 0 && clock == CLOCK_BOOTTIME)
		add(ts, trouble->boot);
	return r;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *out)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (out != NULL)
		*out = ts.tv_sec;
	return ts.tv_sec;
}

/* fork for vfork: a function cannot stand between vfork and its caller. */
pid_t vfork(void)
{
	if (trouble->forks != 0) {
		errno = EAGAIN;
		return -1;
	}
	return fork();
}
