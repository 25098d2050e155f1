/* orphans.c: see orphans.h. The kernel gives orphans to the first thread of their
 * new parent, so that one's list of children is all there is to look at; errand's
 * own children are on the process thread's. */
#define _GNU_SOURCE
#include "service/orphans.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"
#include "service/warden.h"

enum { LIST_MAX = 16384, LIMITS_MAX = 4096 };

static struct rlimit mark; /* set once */
static bool has_mark;

/* The file's text, NUL-terminated; its length, or -1. */
static ssize_t read_text(const char *path, char *text, size_t size)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n;

	if (fd < 0)
		return -1;
	while (len < size - 1 && (n = read(fd, text + len, size - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = 0;
	return (ssize_t)len;
}

void orphans_init(void)
{
	getrlimit(RLIMIT_MSGQUEUE, &mark);
	has_mark = mark.rlim_cur > 0;
	if (has_mark)
		mark.rlim_cur--;
	else
		log_warn("what programs leave behind is not found", "reason=\"RLIMIT_MSGQUEUE is 0\"");
}

const struct rlimit *orphans_mark(void)
{
	return &mark;
}

static bool has_our_mark(pid_t pid)
{
	static const char name[] = "\nMax msgqueue size";
	char path[64], text[LIMITS_MAX];
	const char *line;

	snprintf(path, sizeof path, "/proc/%d/limits", (int)pid);
	if (read_text(path, text, sizeof text) <= 0 || (line = strstr(text, name)) == NULL)
		return false;
	line += sizeof name - 1;
	line += strspn(line, " ");
	return *line >= '0' && *line <= '9' && strtoull(line, NULL, 10) == mark.rlim_cur;
}

static bool is_orphan(pid_t pid, bool (*is_child)(pid_t))
{
	return has_mark && pid != warden_pid() && !is_child(pid) && has_our_mark(pid);
}

size_t orphans_sweep(bool (*is_child)(pid_t pid))
{
	char path[64], text[LIST_MAX];
	size_t n_found = 0;
	char *at = text, *end;

	snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
	if (read_text(path, text, sizeof text) <= 0)
		return 0;
	for (long pid; (pid = strtol(at, &end, 10)) > 0; at = end) {
		if (!is_orphan((pid_t)pid, is_child))
			continue;
		n_found++;
		kill((pid_t)pid, SIGKILL);
		if (waitpid((pid_t)pid, NULL, WNOHANG) == (pid_t)pid)
			log_debug("orphan reaped", "pid=%ld", pid);
	}
	return n_found;
}
