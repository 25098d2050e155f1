/* complete_live.h: candidates that the service knows. Each is asked for on its own, with
 * little patience, and silently: no answer, no candidates. */
#ifndef CLI_COMPLETE_LIVE_H
#define CLI_COMPLETE_LIVE_H

#include "cli/cli.h"

/* Prints the candidate when it begins like what was typed. what may be NULL. */
typedef void complete_put(const char *text, const char *what);

void complete_tasks(const struct cli_common *common, const char *typed, complete_put *put);
void complete_methods(const struct cli_common *common, const char *typed, complete_put *put);
/* Fields of a method's input, as NAME=; the values of an enum's or a bool's. */
void complete_fields(const struct cli_common *common, const char *method, const char *typed, complete_put *put);
/* The first field of each item that a List method has, a name. */
void complete_names(const struct cli_common *common, const char *service, const char *method, complete_put *put);

#endif
