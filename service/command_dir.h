/* command_dir.h: private directories of attempts (directory = temporary): made below one of
 * the service's own in TMPDIR, which is locked while the service lives; so what a service
 * that was killed has left is told from what one uses, and swept at the next start.
 *
 * Taken away without following links, whatever the program has made of it. Any thread. */
#ifndef SERVICE_COMMAND_DIR_H
#define SERVICE_COMMAND_DIR_H

#include <stddef.h>

/* Before the first; sweeps. 0, or -errno with a sentence in why. */
int command_dir_init(char *why, size_t why_size);
void command_dir_deinit(void);
/* 0 and an absolute path without links (malloc'd), of that user with mode 0700; -errno. */
int command_dir_make(const char *user, const char *group, char **pathp);
/* With all that is in it. */
void command_dir_remove(const char *path);

#endif
