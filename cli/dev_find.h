/* dev_find.h: where the daemons and the example module are: named by the
 * environment, beside this very program (a build tree, an installation anywhere),
 * or where configure was told they would be installed. */
#ifndef CLI_DEV_FIND_H
#define CLI_DEV_FIND_H

/* "errand-service" or "errand-gateway"; variable is ERRAND_SERVICE or
 * ERRAND_GATEWAY. Gives a path, or NULL after an error. */
char *dev_find_program(const char *name, const char *variable);
/* The same without an error. */
char *dev_find_there(const char *name, const char *variable);

/* The module of the installed example, $ERRAND_MODULE_DIR first. As above. */
char *dev_find_example(void);

/* Swagger UI's files, in a build tree or an installation that was moved; NULL: where
 * the gateway looks by itself. */
char *dev_find_docs(void);

#endif
