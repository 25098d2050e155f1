/* target.h: which service a command means, of everything that can say so. In this order:
 * --url, --socket, --context; ERRAND_URL, ERRAND_CONTEXT, ERRAND_SOCKET; the context in
 * use (context.h); the standard socket. With it, what a URL needs: a token, certificates. */
#ifndef CLI_TARGET_H
#define CLI_TARGET_H

#include "cli/cli.h"

/* All strings are owned, or NULL. */
struct target {
	char *url;       /* without a slash at its end; NULL: the service's own socket */
	char *unix_path; /* the socket that url is asked at */
	char *socket;    /* of the service; NULL: the library's default */
	char *token;
	char *ca, *cert, *key;
	char *context;   /* the name of the one that was taken */
	bool insecure;   /* the token may travel over http:// */
	bool guessed;    /* nobody has named it: the standard socket */
};

/* Is it one that a target can have? False: it was said why not. */
bool target_url_good(const char *url);
/* CLI_OK, or what to exit with after the error was said. */
int target_find(struct target *t, const struct cli_common *common);
void target_deinit(struct target *t);
/* For people: the URL, or the socket's path. */
const char *target_name(const struct target *t);

/* The token in a file of mode 0600 or 0640; false with the reason in why. */
bool target_read_token(const char *path, char **out, char *why, size_t why_size);

#endif
