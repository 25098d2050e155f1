/* dev_http.h: asks the gateway whether it can serve calls. */
#ifndef CLI_DEV_HTTP_H
#define CLI_DEV_HTTP_H

#include <stdbool.h>

/* One GET /readyz on address (HOST:PORT); true when it answers 200 within
 * timeout_ms. */
bool dev_http_ready(const char *address, int timeout_ms);

#endif
