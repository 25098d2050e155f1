/* program.c: see program.h. We have one thread, so fork is safe. */
#define _GNU_SOURCE
#include "cli/program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "cli/keeper.h"

enum { LINE_MAX_BYTES = 64 << 10 };

/* --- starting --- */

/* What it reads is a file of memory: no pipe to be fed. */
static int make_input(struct bytes input)
{
	int fd = memfd_create("errand-input", MFD_CLOEXEC);
	size_t at = 0;

	while (fd >= 0 && at < input.len) {
		ssize_t n = write(fd, input.data + at, input.len - at);

		if (n < 0 && errno != EINTR) {
			close(fd);
			return -1;
		}
		at += n > 0 ? (size_t)n : 0;
	}
	if (fd >= 0)
		lseek(fd, 0, SEEK_SET);
	return fd;
}

static void __attribute__((noreturn)) child(char *const *argv, char *const *env, const int from[4], int failure,
					    pid_t parent)
{
	int err;

	if (keeper_fork(parent) < 0)
		goto failed;
	for (; *env != NULL; env++)
		putenv(*env);
	for (int fd = 0; fd < 4; fd++)
		if (dup2(from[fd], fd) < 0)
			goto failed;
	execvp(argv[0], argv);
failed:
	err = errno;
	if (write(failure, &err, sizeof err) < 0)
		_exit(126);
	_exit(127);
}

/* Descriptors out of the way of 0 to 3. */
static int above(int fd)
{
	int to = fcntl(fd, F_DUPFD_CLOEXEC, 10);

	close(fd);
	return to;
}

static int start(struct program *p, char *const *argv, char *const *env, const int ends[4], const int failure[2])
{
	pid_t parent = getpid();
	int err = 0;

	p->pid = fork();
	if (p->pid < 0)
		return -errno;
	if (p->pid == 0)
		child(argv, env, ends, failure[1], parent);
	close(failure[1]);
	if (read(failure[0], &err, sizeof err) == sizeof err) {
		waitpid(p->pid, NULL, 0);
		p->pid = 0;
		return -err;
	}
	p->pidfd = pidfd_open(p->pid, 0);
	return p->pidfd < 0 ? -errno : 0;
}

int program_start(struct program *p, char *const *argv, char *const *env, struct bytes input)
{
	int ends[4] = {-1, -1, -1, -1}, failure[2] = {-1, -1}, r = 0;

	p->pidfd = -1;
	for (int i = 0; i < PROGRAM_PIPES; i++)
		p->fds[i] = -1;
	ends[0] = above(make_input(input));
	for (int i = 0; i < PROGRAM_PIPES && r == 0; i++) {
		int pipes[2];

		if (pipe2(pipes, O_CLOEXEC) < 0) {
			r = -errno;
			break;
		}
		p->fds[i] = pipes[0];
		fcntl(pipes[0], F_SETFL, O_NONBLOCK);
		ends[i + 1] = above(pipes[1]);
	}
	if (r == 0 && (ends[0] < 0 || ends[3] < 0 || pipe2(failure, O_CLOEXEC) < 0))
		r = -errno;
	if (r == 0)
		failure[1] = above(failure[1]);
	if (r == 0)
		r = start(p, argv, env, ends, failure);
	for (int i = 0; i < 4; i++)
		if (ends[i] >= 0)
			close(ends[i]);
	if (failure[0] >= 0)
		close(failure[0]);
	if (r < 0)
		program_deinit(p);
	return r;
}

/* --- while it runs --- */

void program_poll(const struct program *p, struct pollfd *to)
{
	for (int i = 0; i < PROGRAM_PIPES; i++)
		to[i] = (struct pollfd){.fd = p->fds[i], .events = POLLIN};
	to[PROGRAM_PIPES] = (struct pollfd){.fd = p->ended ? -1 : p->pidfd, .events = POLLIN};
}

static void take_output(struct program *p, const uint8_t *data, size_t len)
{
	size_t room = p->max > p->out.len ? p->max - p->out.len : 0;

	p->too_much |= len > room;
	buf_append(&p->out, data, MIN(len, room));
}

static void take_lines(struct program *p, int which, const uint8_t *data, size_t len)
{
	struct buf *line = &p->lines[which];

	for (const uint8_t *end = data + len; data < end;) {
		const uint8_t *nl = memchr(data, '\n', (size_t)(end - data));

		buf_append(line, data, (size_t)((nl != NULL ? nl : end) - data));
		data = nl != NULL ? nl + 1 : end;
		if (nl == NULL && line->len < LINE_MAX_BYTES)
			break;
		p->on_line(which, (const char *)line->data, line->len, p->arg);
		buf_reset(line);
	}
}

static void pipe_end(struct program *p, int which)
{
	if (p->fds[which] < 0)
		return;
	if (p->lines[which].len > 0)
		p->on_line(which, (const char *)p->lines[which].data, p->lines[which].len, p->arg);
	buf_reset(&p->lines[which]);
	close(p->fds[which]);
	p->fds[which] = -1;
}

static void pipe_read(struct program *p, int which)
{
	uint8_t data[65536];
	ssize_t n = read(p->fds[which], data, sizeof data);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		pipe_end(p, which);
	else if (which == PROGRAM_OUT)
		take_output(p, data, (size_t)n);
	else
		take_lines(p, which, data, (size_t)n);
}

/* Whatever it had started has gone with it; what is in the pipes still counts. */
static void reap(struct program *p)
{
	while (waitpid(p->pid, &p->status, 0) < 0 && errno == EINTR)
		;
	p->ended = true;
	for (int i = 0; i < PROGRAM_PIPES; i++)
		for (int fd = p->fds[i]; fd >= 0; fd = p->fds[i]) {
			struct pollfd one = {.fd = fd, .events = POLLIN};

			if (poll(&one, 1, 0) <= 0)
				break;
			pipe_read(p, i);
		}
}

bool program_ready(struct program *p, const struct pollfd *polled)
{
	for (int i = 0; i < PROGRAM_PIPES; i++)
		if (polled[i].revents != 0 && polled[i].fd == p->fds[i])
			pipe_read(p, i);
	if (polled[PROGRAM_PIPES].revents != 0 && !p->ended)
		reap(p);
	if (!p->ended)
		return false;
	for (int i = 0; i < PROGRAM_PIPES; i++)
		pipe_end(p, i);
	return true;
}

void program_signal(const struct program *p, int signal)
{
	if (p->pid > 0 && !p->ended)
		kill(p->pid, signal == SIGKILL ? KEEPER_KILL : KEEPER_STOP);
}

void program_deinit(struct program *p)
{
	if (p->pid > 0 && !p->ended) {
		kill(p->pid, KEEPER_KILL);
		waitpid(p->pid, NULL, 0);
	}
	for (int i = 0; i < PROGRAM_PIPES; i++) {
		if (p->fds[i] >= 0)
			close(p->fds[i]);
		p->fds[i] = -1;
		buf_deinit(&p->lines[i]);
	}
	if (p->pidfd >= 0)
		close(p->pidfd);
	p->pidfd = -1;
	p->pid = 0;
	buf_deinit(&p->out);
}
