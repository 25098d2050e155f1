/* options.h: what the gateway can be told (errand-gateway(8), errand.conf(5)): one table, read at start
 * and again at SIGHUP, each time into a struct gateway_config of its own. */
#ifndef GATEWAY_OPTIONS_H
#define GATEWAY_OPTIONS_H

#include "gateway/exchange.h"

enum { GATEWAY_THREADS_MAX = 16 };
#define GATEWAY_DOCS_DIR PKGDATADIR "/docs"

/* Prints what is wrong and returns a positive exit status, or 0. c is zero. */
int gateway_options_read(struct gateway_config *c, int argc, char **argv);
/* --check, --show-config and --describe: does what was asked for with the exit status in *statusp;
 * false: none was. */
bool gateway_options_show(const struct gateway_config *c, int *statusp);
/* Another configuration, as it is told now: what needs a restart is what live has, which has to live on. NULL after
 * having logged that it cannot be used. Main thread. */
struct gateway_config *gateway_options_reload(const struct gateway_config *live, int argc, char **argv);
void gateway_options_deinit(struct gateway_config *c);

#endif
