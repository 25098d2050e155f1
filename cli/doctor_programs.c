/* doctor_programs.c: what other programs say: the daemons of their configuration, systemctl of
 * their units; and the time zones. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/dev_find.h"
#include "cli/doctor_impl.h"

#define OUTPUT_MAX 65536
#define PATIENCE (20 * NS_PER_S)

extern char **environ;

/* --- running one --- */

/* Reads to the end; false: it took too long. */
static bool read_all(int fd, int64_t deadline, struct buf *out)
{
	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int64_t left = deadline - clock_mono_ns();
		ssize_t n;

		if (left <= 0 || poll(&p, 1, (int)(left / NS_PER_MS) + 1) == 0)
			return false;
		if (buf_reserve(out, 4096) == NULL || out->len > OUTPUT_MAX)
			return false;
		n = read(fd, out->data + out->len, 4096);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return true;
		out->len += (size_t)n;
	}
}

static pid_t spawn(const char *const *argv, int out)
{
	posix_spawn_file_actions_t a;
	pid_t pid = -1;

	if (posix_spawn_file_actions_init(&a) != 0)
		return -1;
	posix_spawn_file_actions_addopen(&a, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&a, out, 1);
	posix_spawn_file_actions_adddup2(&a, out, 2);
	if (posix_spawnp(&pid, argv[0], &a, NULL, (char **)(uintptr_t)argv, environ) != 0)
		pid = -1;
	posix_spawn_file_actions_destroy(&a);
	return pid;
}

int doctor_run(const char *const *argv, int64_t timeout_ns, struct buf *out)
{
	int fds[2], status;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -1;
	pid = spawn(argv, fds[1]);
	close(fds[1]);
	if (pid > 0 && !read_all(fds[0], clock_mono_ns() + timeout_ns, out))
		kill(pid, SIGKILL);
	close(fds[0]);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) == 127)
		return -1;
	return WEXITSTATUS(status);
}

char *doctor_setting(const char *key)
{
	AUTO_FREE char *program = dev_find_there("errand-service", "ERRAND_SERVICE");
	AUTO_FREE char *begin = xasprintf("%s = ", key);
	const char *argv[] = {program, "-T", NULL};
	AUTO_BUF out = BUF_INIT;
	size_t len = strlen(begin);

	if (program == NULL || doctor_run(argv, PATIENCE, &out) != 0)
		return NULL;
	for (const char *p = buf_cstr(&out); p != NULL; p = strchr(p, '\n')) {
		const char *end;

		p += *p == '\n';
		if (strncmp(p, begin, len) != 0)
			continue;
		end = strstr(p, " ; ");
		return xstrndup(p + len, end != NULL && end < p + strcspn(p, "\n") ? (size_t)(end - p) - len :
				strcspn(p, "\n") - len);
	}
	return NULL;
}

/* --- the configuration --- */

static void check_program(struct doctor *d, const char *name, const char *variable)
{
	AUTO_FREE char *program = dev_find_there(name, variable);
	AUTO_FREE char *check = xasprintf("config-%s", name + strlen("errand-"));
	const char *argv[] = {program, "-t", NULL};
	AUTO_BUF out = BUF_INIT;
	const char *text;
	int status;

	if (program == NULL) {
		doctor_say(d, DOCTOR_OK, check, NULL, "%s is not installed here", name);
		return;
	}
	status = doctor_run(argv, PATIENCE, &out);
	text = buf_cstr(&out);
	doctor_say(d, status == 0 ? DOCTOR_OK : DOCTOR_FAIL, check, status == 0 ? NULL : "correct that: it would not start with it",
		   "%s -t: %.*s", name, (int)strcspn(text, "\n"), status == 0 || *text != '\0' ? text : "failed");
}

void doctor_configuration(struct doctor *d)
{
	check_program(d, "errand-service", "ERRAND_SERVICE");
	check_program(d, "errand-gateway", "ERRAND_GATEWAY");
}

/* --- time zones --- */

void doctor_zones(struct doctor *d)
{
	const char *named = secure_getenv("TZDIR");
	const char *folder = named != NULL && named[0] == '/' ? named : "/usr/share/zoneinfo";
	AUTO_FREE char *zone = xasprintf("%s/Europe/Berlin", folder);
	bool there = access(zone, R_OK) == 0;

	doctor_say(d, there ? DOCTOR_OK : DOCTOR_WARN, "time-zones", there ? NULL :
		   "install the package tzdata: schedules with a time zone are refused", there ? "%s" : "none in %s", folder);
}

/* --- units --- */

static void look_at_unit(struct doctor *d, const char *unit)
{
	const char *active[] = {"systemctl", "is-active", unit, NULL};
	AUTO_BUF out = BUF_INIT;
	enum doctor_level level = DOCTOR_OK;
	char *state;

	if (doctor_run(active, PATIENCE, &out) < 0)
		return;
	buf_cstr(&out);
	state = xstrndup((char *)out.data, strcspn((char *)out.data, "\n"));
	if (strcmp(state, "failed") == 0)
		level = DOCTOR_FAIL;
	else if (strcmp(state, "inactive") == 0)
		level = DOCTOR_WARN;
	doctor_say(d, level, "unit", level == DOCTOR_OK ? NULL : "systemctl status and journalctl -u say why", "%s is %s", unit, state);
	free(state);
}

void doctor_units(struct doctor *d)
{
	struct stat st;

	if (stat("/run/systemd/system", &st) < 0) {
		doctor_say(d, DOCTOR_OK, "unit", NULL, "systemd does not run here");
		return;
	}
	look_at_unit(d, "errand-service.service");
	look_at_unit(d, "errand-gateway.service");
}
