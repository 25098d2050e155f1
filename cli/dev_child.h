/* dev_child.h: one daemon `errand dev` keeps running: started with a pipe on which
 * it says that it is ready, started again with a growing pause when it dies. Dies
 * with us. Used by the main thread only. */
#ifndef CLI_DEV_CHILD_H
#define CLI_DEV_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct dev_child {
	const char *name; /* "errand-service" */
	const char **argv; /* owned array, NULL-terminated; one entry is replaced by the pipe's fd */
	size_t n_argv, fd_at; /* index of that entry */
	pid_t pid;        /* 0 = not running */
	int ready_fd;     /* our end; -1 = none */
	bool ready;       /* since the last start */
	bool was_ready;   /* ever */
	char said[64];    /* what it wrote on the pipe, without the newline */
	size_t n_said;
	int64_t started_ns, restart_ns; /* monotonic; restart_ns 0 = not waiting */
	int64_t pause_ns; /* before the next restart */
	unsigned n_restarts;
};

/* argv[0] is the program's path; its end gets --ready-fd FD. text is borrowed. */
void dev_child_init(struct dev_child *c, const char *name, const char *program);
void dev_child_arg(struct dev_child *c, const char *text);
void dev_child_deinit(struct dev_child *c);

/* Between fork and exec of what `errand dev` starts: in its own group, since ^C goes to us alone, so that the order
 * of stopping is ours; ends when its parent does; no signal blocked or ignored. */
void dev_child_begin(pid_t parent);
/* 0, or -errno. */
int dev_child_start(struct dev_child *c);
/* Reads the pipe; sets ready. */
void dev_child_read(struct dev_child *c);
/* It has ended with a wait status: says so in `how`, and plans the restart. */
void dev_child_ended(struct dev_child *c, int status, char *how, size_t size);

#endif
