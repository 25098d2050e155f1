#define _GNU_SOURCE
#include "cli/dev_project.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/dev_child.h"

/* Editors and version control change several files at once. */
#define SETTLE_NS (100 * NS_PER_MS)

/* --- make --- */

static void become_make(const struct dev_project *p, pid_t parent)
{
	dev_child_begin(parent);
	if (dup2(p->output, STDOUT_FILENO) < 0 || dup2(p->output, STDERR_FILENO) < 0)
		_exit(127);
	execlp("make", "make", "-C", p->dir, "--no-print-directory", (char *)NULL);
	fprintf(stderr, "make: %s (Debian: apt-get install make)\n", strerror(errno));
	_exit(127);
}

static bool start_make(struct dev_project *p)
{
	pid_t parent = getpid();

	p->build_ns = 0;
	util_closep(&p->output);
	p->output = memfd_create("make", MFD_CLOEXEC);
	p->pid = fork();
	if (p->pid == 0)
		become_make(p, parent);
	if (p->pid < 0) {
		cli_error("dev: make: %s", strerror(errno));
		p->pid = 0;
	}
	return p->pid > 0;
}

static void show_output(const struct dev_project *p)
{
	char bytes[4096];
	off_t at = 0;
	ssize_t n;

	while ((n = pread(p->output, bytes, sizeof bytes, at)) > 0) {
		fwrite(bytes, 1, (size_t)n, stderr);
		at += n;
	}
	fflush(stderr);
}

/* --- what came of it --- */

static bool is_module(const char *name)
{
	size_t len = strlen(name);

	return len > 3 && strcmp(name + len - 3, ".so") == 0 && name[0] != '.';
}

static void find_modules(struct dev_project *p)
{
	DIR *dir = opendir(p->dir);
	struct dirent *e;

	while (dir != NULL && (e = readdir(dir)) != NULL) {
		if (!is_module(e->d_name))
			continue;
		p->modules = xrealloc(p->modules, (p->n_modules + 1) * sizeof(char *));
		p->modules[p->n_modules++] = xasprintf("%s/%s", p->dir, e->d_name);
	}
	if (dir != NULL)
		closedir(dir);
}

static uint64_t modules_print(const struct dev_project *p)
{
	uint64_t print = 0;
	struct stat st;

	for (size_t i = 0; i < p->n_modules; i++) {
		if (stat(p->modules[i], &st) < 0)
			continue;
		print = print * 31 + (uint64_t)st.st_ino;
		print = print * 31 + (uint64_t)st.st_mtim.tv_sec;
		print = print * 31 + (uint64_t)st.st_mtim.tv_nsec;
	}
	return print;
}

int dev_project_built(struct dev_project *p, int status)
{
	uint64_t print = modules_print(p);

	p->pid = 0;
	if (status != 0) {
		show_output(p);
		return -1;
	}
	if (print == p->print)
		return 1;
	p->print = print;
	return 0;
}

/* --- the whole --- */

static bool build_first(struct dev_project *p)
{
	int status = -1;

	if (!start_make(p))
		return false;
	while (waitpid(p->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (dev_project_built(p, status) < 0) {
		cli_error("dev: %s does not build (the reasons are above)", p->dir);
		return false;
	}
	find_modules(p);
	p->print = modules_print(p);
	if (p->n_modules == 0)
		cli_error("dev: make has left no module (NAME.so) in %s; `errand new` makes a project with one",
			  p->dir);
	return p->n_modules > 0;
}

bool dev_project_open(struct dev_project *p, const char *dir)
{
	int r;

	*p = (struct dev_project){.dir = realpath(dir, NULL), .output = -1, .watch = {.fd = -1}};
	if (p->dir == NULL) {
		cli_error("dev: %s: %s", dir, strerror(errno));
		return false;
	}
	/* Before the build, so that no change is missed. */
	r = dev_watch_open(&p->watch, p->dir);
	if (r < 0)
		cli_error("dev: %s cannot be watched: %s", dir, strerror(-r));
	return r == 0 && build_first(p);
}

void dev_project_close(struct dev_project *p)
{
	if (p->pid > 0) {
		kill(-p->pid, SIGKILL);
		waitpid(p->pid, NULL, 0);
	}
	if (p->dir == NULL)
		return;
	dev_watch_close(&p->watch);
	util_closep(&p->output);
	for (size_t i = 0; i < p->n_modules; i++)
		free(p->modules[i]);
	free(p->modules);
	free(p->dir);
	*p = (struct dev_project){.output = -1, .watch = {.fd = -1}};
}

void dev_project_changed(struct dev_project *p)
{
	if (dev_watch_read(&p->watch, p->changed, sizeof p->changed))
		p->build_ns = clock_mono_ns() + SETTLE_NS;
}

bool dev_project_due(struct dev_project *p)
{
	return p->build_ns != 0 && p->pid == 0 && p->build_ns <= clock_mono_ns() && start_make(p);
}
