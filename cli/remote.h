/* remote.h: a service behind a URL: calls as HTTP requests to its gateway, POST
 * /pkg.Service/Method, with the outcomes of errand/client.h, so that who calls does not see
 * which way they went. Messages go as protobuf both ways; streams come as server-sent
 * events, whose JSON becomes wire bytes by the service's own schema. */
#ifndef CLI_REMOTE_H
#define CLI_REMOTE_H

#include "base/buf.h"
#include "cli/target.h"
#include "errand/client.h"
#include "schema/schema.h"

struct remote;

/* target is borrowed. NULL with the reason in why. Nothing is asked yet. */
struct remote *remote_open(const struct target *target, char *why, size_t why_size);
struct remote *remote_close(struct remote *r); /* NULL-safe; NULL */
const char *remote_error(const struct remote *r);

/* As errand_client_call and errand_client_stream. schema is the service's, NULL while it
 * is not known: a stream needs it. o may be NULL. */
struct remote_call {
	const struct schema *schema;
	const char *service, *method;
	struct bytes in;
	const struct errand_call_options *options;
};
int remote_call(struct remote *r, const struct remote_call *c, struct errand_reply **replyp);
int remote_stream(struct remote *r, const struct remote_call *c,
		  int (*on_message)(const void *message, size_t len, void *arg), void *arg,
		  struct errand_reply **replyp);

/* GET of a path of the gateway's own (/livez, /readyz, /metrics): the HTTP status with the body
 * in *body (may be NULL), or negative as above. */
int remote_get(struct remote *r, const char *path, int64_t timeout_ns, struct buf *body);

#endif
