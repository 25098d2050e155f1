/* dev_watch.h: tells when a source in a directory, or below it, has changed (inotify). What a
 * build makes of sources is none. Main thread. */
#ifndef CLI_DEV_WATCH_H
#define CLI_DEV_WATCH_H

#include <stdbool.h>
#include <stddef.h>

struct dev_watch {
	int fd;        /* inotify's, for poll; -1: none */
	struct dev_watched {
		int wd;
		char *path; /* owned */
	} *dirs;       /* n_dirs, owned */
	size_t n_dirs;
};

/* Folders in it as well, also those made later; hidden ones are left out. 0, or -errno. */
int dev_watch_open(struct dev_watch *w, const char *dir);
void dev_watch_close(struct dev_watch *w);
/* Reads what has happened. True: a source has come, changed or gone; its name is in `name`. */
bool dev_watch_read(struct dev_watch *w, char *name, size_t size);

#endif
