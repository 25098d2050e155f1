/* process_rig.c: see process_rig.h. */
#define _GNU_SOURCE
#include "process_rig.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"

char self_path[4096];

/* --- a child and what came of it --- */

void run_line(int fd, const char *line, size_t len, void *arg)
{
	struct run *r = arg;

	pthread_mutex_lock(&r->lock);
	r->n_lines[fd]++;
	r->n_bytes[fd] += len;
	r->longest = MAX(r->longest, len);
	if (r->keep) {
		buf_append(&r->text[fd], line, len);
		buf_append_byte(&r->text[fd], '\n');
	}
	pthread_cond_broadcast(&r->change);
	pthread_mutex_unlock(&r->lock);
}

void run_bytes(const void *data, size_t len, void *arg)
{
	struct run *r = arg;

	pthread_mutex_lock(&r->lock);
	buf_append(&r->text[1], data, len);
	pthread_mutex_unlock(&r->lock);
}

void run_exit(const struct process_end *end, void *arg)
{
	struct run *r = arg;

	pthread_mutex_lock(&r->lock);
	r->n_exits++;
	r->status = end->wait_status;
	r->end = *end;
	r->ended = true;
	pthread_cond_broadcast(&r->change);
	pthread_mutex_unlock(&r->lock);
}

int run_start_as(struct run *r, struct process_params *p)
{
	p->on_line = run_line;
	p->on_exit = run_exit;
	p->arg = r;
	return process_start(p, &r->process);
}

void start_limited(struct run *r, const char *const *argv, const struct errand_limits *limits)
{
	struct process_params p = {.argv = argv, .limits = limits};

	assert_int_equal(run_start_as(r, &p), 0);
}

int run_start_in(struct run *r, const char *const *argv, const char *dir)
{
	struct process_params p = {.argv = argv, .dir = dir};

	return run_start_as(r, &p);
}

int run_start(struct run *r, const char *const *argv)
{
	return run_start_in(r, argv, NULL);
}

void run_wait(struct run *r)
{
	pthread_mutex_lock(&r->lock);
	while (!r->ended)
		pthread_cond_wait(&r->change, &r->lock);
	pthread_mutex_unlock(&r->lock);
	assert_int_equal(r->n_exits, 1);
}

void run_wait_line(struct run *r)
{
	pthread_mutex_lock(&r->lock);
	while (r->n_lines[1] == 0 && !r->ended)
		pthread_cond_wait(&r->change, &r->lock);
	pthread_mutex_unlock(&r->lock);
}

const char *run_text(struct run *r, int fd)
{
	return buf_cstr(&r->text[fd]);
}

void run_deinit(struct run *r)
{
	for (size_t i = 0; i < ARRAY_LEN(r->text); i++)
		buf_deinit(&r->text[i]);
}

void run_shell(struct run *r, const char *script)
{
	const char *argv[] = {"sh", "-c", script, NULL};

	assert_int_equal(run_start(r, argv), 0);
}

bool is_gone(pid_t pid)
{
	char path[64], state = 0;
	FILE *f;

	if (kill(pid, 0) < 0)
		return true;
	/* Somebody else's zombie (init's, in a container) has ended too. */
	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (f == NULL)
		return true;
	if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
		state = 0;
	fclose(f);
	return state == 'Z' || state == 'X';
}

void assert_gone_soon(pid_t pid)
{
	assert_true(pid > 1);
	for (int i = 0; i < 500 && !is_gone(pid); i++)
		poll(NULL, 0, 10);
	assert_true(is_gone(pid));
}

size_t count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

static bool has_zombie(void)
{
	siginfo_t info = {0};

	return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0;
}

/* What was left behind is killed and reaped within moments of the program's end. */
void assert_no_zombies(void)
{
	for (int i = 0; i < 500 && has_zombie(); i++)
		poll(NULL, 0, 10);
	assert_false(has_zombie());
}

void reap_adopted(void)
{
	char path[64], text[512];
	int n_children = 0;

	snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
	for (int i = 0; i < 500 && n_children != 1; i++) {
		FILE *f = fopen(path, "re");

		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		n_children = 0;
		assert_non_null(f);
		while (fscanf(f, "%500s", text) == 1)
			n_children++;
		fclose(f);
		poll(NULL, 0, 10);
	}
	assert_int_equal(n_children, 1);
}

/* --- this program as somebody else --- */

pid_t run_self(const char *role, int *outp)
{
	int ends[2];
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	if (pid == 0) {
		dup2(ends[1], 1);
		close(ends[0]);
		/* A leak check needs a thread, which --nproc cannot have. */
		setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
		execl(self_path, self_path, role, (char *)NULL);
		_exit(127);
	}
	close(ends[1]);
	*outp = ends[0];
	return pid;
}

int rig_spin(char **args)
{
	struct timespec t;
	int64_t until = atoi(args[0]) * NS_PER_MS;

	do
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	while (t.tv_sec * NS_PER_S + t.tv_nsec < until);
	return 0;
}

int rig_runner(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	unsigned count = 0;

	for (int i = 0; i < 3; i++)
		close(i);
	/* Not for ever: a test that fails must not leave it running. */
	for (; fd >= 0 && count < 100000; count++) {
		ssize_t n UNUSED = pwrite(fd, &count, sizeof count, 0);
		pid_t next = fork();

		if (next != 0)
			_exit(next < 0);
		setsid();
	}
	return 1;
}

static unsigned runner_count(const char *path)
{
	unsigned count = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n UNUSED = fd < 0 ? 0 : pread(fd, &count, sizeof count, 0);

	if (fd >= 0)
		close(fd);
	return count;
}

void assert_runner_runs(const char *path)
{
	for (int i = 0; i < 500 && runner_count(path) < 5; i++)
		poll(NULL, 0, 10);
	assert_true(runner_count(path) >= 5);
}

void assert_runner_stops(const char *path)
{
	unsigned before = 0, now = runner_count(path);

	for (int i = 0; i < 100 && before != now; i++) {
		poll(NULL, 0, 50);
		before = now;
		now = runner_count(path);
	}
	assert_int_equal(before, now);
	assert_true(now + 1 < 100000);
}

static atomic_bool noisy;
static pthread_t noises[8];

static void *make_noise(void *arg)
{
	while (noisy) {
		free(malloc(1 + (size_t)rand() % 5000));
		log_debug("noise", "n=%d", 1);
	}
	return NULL;
}

void noise_start(void)
{
	noisy = true;
	for (size_t i = 0; i < ARRAY_LEN(noises); i++)
		pthread_create(&noises[i], NULL, make_noise, NULL);
}

void noise_stop(void)
{
	noisy = false;
	for (size_t i = 0; i < ARRAY_LEN(noises); i++)
		pthread_join(noises[i], NULL);
}
