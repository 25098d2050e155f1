/* origin.h: who may ask. Two lists from the configuration, against requests that a
 * browser makes for a page of somebody else's:
 *
 *   --host         names the gateway answers to (Host); another one is 421. This is
 *                  what stops DNS rebinding, where a page's own name leads to us.
 *   --cors-origin  pages of other origins that may use the gateway. From others a
 *                  request that may change something (anything but GET, HEAD and
 *                  OPTIONS) is 403, also when it needs no preflight.
 *
 * Immutable after origin_rules_init, so any thread may read them. */
#ifndef GATEWAY_ORIGIN_H
#define GATEWAY_ORIGIN_H

#include "base/opt.h"
#include "gateway/http.h"

struct origin_rules {
	struct opt_list hosts;   /* owned array; names without port, lower case or not */
	struct opt_list origins; /* owned array */
	bool any_host, any_origin;
};

/* Lists may hold commas; their strings are copied. Without --host: when only
 * this machine can reach all of the addresses of TCP (`listen`) those and the names of this
 * machine, else all names. 0, or -1 with the reason in why: option, value, what to do. */
int origin_rules_init(struct origin_rules *o, const struct opt_list *hosts,
		      const struct opt_list *origins, const struct opt_list *listen, char *why, size_t why_size);
void origin_rules_deinit(struct origin_rules *o);

/* Is Host (NULL: a request of HTTP/1.0 without one) one of ours? */
bool origin_host_known(const struct origin_rules *o, const char *host);
/* Is this Origin in the list? Not so NULL. */
bool origin_allowed(const struct origin_rules *o, const char *origin);
/* Does Origin (NULL: none) name the host that Host names, port and all? */
bool origin_is_same(const char *origin, const char *host);

/* Answers r with 421 or 403 when it is not to be served: true then. */
bool origin_refuse(struct http_request *r, const struct origin_rules *o);

#endif
