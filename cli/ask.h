/* ask.h: before many things are changed at once: how many, and is that meant? */
#ifndef CLI_ASK_H
#define CLI_ASK_H

#include "cli/cli.h"

/* "Cancel 12 tasks? [y/N]" on the terminal. CLI_OK: go on. CLI_FAILED: no. CLI_USAGE, said:
 * there is nobody to ask. yes: --yes was given. */
int ask(bool yes, const char *command, const char *fmt, ...) PRINTF(3, 4);

#endif
