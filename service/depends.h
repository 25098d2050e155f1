/* depends.h: dependencies of methods: found by name over all modules, put in
 * opening order, refused at start when they go in circles or when one that lives
 * as long as the process needs one that lives as long as a call. Built at start,
 * immutable after; the values of CALL ones belong to the call. */
#ifndef SERVICE_DEPENDS_H
#define SERVICE_DEPENDS_H

#include <stdbool.h>
#include <stddef.h>

#include "errand/service.h"

struct dependency {
	const struct errand_dependency *def; /* borrowed for ever */
	struct dependency **needs;           /* owned; in the order given */
	size_t n_needs;
	bool overridden;                     /* errand_override: value is given, nothing is opened */
	bool open;                           /* a PROCESS one that was opened by us */
	void *value;                         /* of a PROCESS or an overridden one */
	int mark;                            /* depends.c's, while sorting */
};

/* Copies nothing. list ends with .name = NULL, or is NULL. Negative: a name twice,
 * no open function. */
int depends_add(const struct errand_dependency *list, char *why, size_t why_size);
/* Links them and checks: unknown names, circles, scope inversions. */
int depends_finish(char *why, size_t why_size);
/* The dependencies of one method, sub-dependencies resolved, each once, in opening
 * order, NULL-terminated (owned by the caller). names NULL: an empty list. `who`
 * for the error. */
int depends_resolve(const char *const *names, const char *who, const struct dependency ***out,
		    char *why, size_t why_size);

/* PROCESS ones: at start, at stop (in reverse order; NULL call). */
int depends_open_process(char *why, size_t why_size);
void depends_close_process(void);

const struct dependency *depends_find(const char *name);
void depends_override(const char *name, void *value); /* before depends_finish */
void depends_deinit(void);

#endif
