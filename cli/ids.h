/* ids.h: the tasks that operands name: whole ids, their ends or their beginnings while
 * only one task has them, and `-` for those on the standard input. */
#ifndef CLI_IDS_H
#define CLI_IDS_H

#include "cli/backend.h"

struct ids {
	char **items; /* owned */
	size_t n;
};

/* Operands as they were written; for `-` the first word of each line of stdin. CLI_USAGE,
 * said, when that is none. */
int ids_read(struct ids *ids, const char *command, int n, char **operands);
void ids_add(struct ids *ids, const char *text, size_t len);
void ids_deinit(struct ids *ids);

/* The whole id that `text` stands for; *idp is given on CLI_OK. */
int ids_resolve(struct backend *b, const char *text, char **idp);
/* All of them, in place: the first that is not there or ambiguous is said. */
int ids_resolve_all(struct backend *b, struct ids *ids);

/* A method of errand.v1.Tasks that takes a GetTaskRequest, of a whole id; says what to do
 * when there is no such task. */
int ids_call(struct backend *b, const char *method, const char *id, struct errand_reply **replyp);

#endif
