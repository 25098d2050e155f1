/* command_path.h: paths of parameters, held below the directories of in=.
 *
 * Two looks. The first takes the text alone: relative to the first directory, "." and ".."
 * undone as text, below one of them as it stands; it never blocks and is made when the
 * request comes. The second asks the file system, when an attempt begins: links are
 * followed once, by the kernel, and what that one walk has found is what is compared and
 * what the program is given.
 *
 * What is left: who may rename directories below in= while the program starts can put a
 * link where a directory was, since a program opens its files by name. Rules for Landlock
 * (read=, write=) close that. */
#ifndef SERVICE_COMMAND_PATH_H
#define SERVICE_COMMAND_PATH_H

#include "service/command_input.h"

/* First look, at all paths: each is replaced by its absolute form, or there is a fault. */
void command_paths_check(struct command_input *in, struct fault_list *faults);

/* A file that is to be there whole or not at all. */
struct command_target {
	size_t param;
	int dir_fd;       /* its directory, as it was found */
	char *name;       /* that was asked for */
	char *temp_name;  /* that the program writes */
};
struct command_targets {
	struct command_target *items;
	size_t n;
};

/* Second look, after the first; each path is replaced by what it has been resolved to, of
 * `atomic` ones by the other name, made with `unique` (of a task: the same for all its
 * attempts, so that what one left behind is taken away by the next). 0, also with
 * faults; -errno when the file system could not say. Not on the loop. */
int command_paths_resolve(struct command_input *in, const char *unique, struct command_targets *out,
			  struct fault_list *faults);

/* The program has succeeded: each is synced and gets its name. 0, or -errno with the path that
 * failed in *whichp (borrowed from t); then some may have theirs. */
int command_targets_keep(struct command_targets *t, const char **whichp);
/* Takes away what did not get its name. */
void command_targets_deinit(struct command_targets *t);

#endif
