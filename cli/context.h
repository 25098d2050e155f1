/* context.h: services with names, in $XDG_CONFIG_HOME/errand/contexts.conf (else
 * ~/.config/errand/contexts.conf):
 *
 *     [context production]
 *     url = https://errand.example.org
 *     token-file = ~/.config/errand/production.token
 *     ca = /etc/ssl/example.pem
 *
 * Which of them is in use stands in the file `context` beside it. */
#ifndef CLI_CONTEXT_H
#define CLI_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>

struct context {
	char *name; /* strings are owned; NULL where nothing was said */
	char *url, *socket, *token_file, *ca, *cert, *key;
	bool insecure;
	int line;   /* of its section */
};

struct contexts {
	char *path, *current_path; /* of the two files */
	char *current;             /* name of the one in use, or NULL */
	struct context *list;      /* n; in the order of the file */
	size_t n;
};

/* CLI_OK, also when there is no such file; CLI_DATA after its faults were said. */
int contexts_load(struct contexts *c);
void contexts_deinit(struct contexts *c);
/* NULL when there is none of that name. */
const struct context *contexts_find(const struct contexts *c, const char *name);
/* The same, with an error that says which there are. */
const struct context *contexts_need(const struct contexts *c, const char *name);

#endif
