/* reload.h: SIGHUP: the configuration and the secrets of callbacks are read again. What cannot be
 * used leaves all as it was, and is logged. Loop thread. */
#ifndef SERVICE_RELOAD_H
#define SERVICE_RELOAD_H

#include "service/options.h"

/* Borrows all of it for the life of the process; limits are those of options. */
void reload_init(struct options *options, int argc, char **argv);
void reload_deinit(void);
void reload_now(void);

#endif
