/* options.h: what the gateway can be told (errand-gateway(8)): one table, read once at start into
 * struct gateway_config. */
#ifndef GATEWAY_OPTIONS_H
#define GATEWAY_OPTIONS_H

#include "gateway/exchange.h"

enum { GATEWAY_THREADS_MAX = 16 };
#define GATEWAY_DOCS_DIR PKGDATADIR "/docs"

/* Prints what is wrong and returns a positive exit status, or 0. */
int gateway_options_read(struct gateway_config *c, int argc, char **argv);
void gateway_options_deinit(struct gateway_config *c);

#endif
