/* backend.h: the service a command talks to, over its socket (liberrand) or behind a URL
 * (remote.h): one connection, its schema, and the deadline of the whole command. Functions return an enum cli_exit after having
 * said on stderr what went wrong. */
#ifndef CLI_BACKEND_H
#define CLI_BACKEND_H

#include "base/buf.h"
#include "cli/cli.h"
#include "cli/remote.h"
#include "cli/target.h"
#include "errand/client.h"
#include "schema/schema.h"

struct backend {
	const struct cli_common *common; /* borrowed */
	struct target target;
	struct errand_client *client; /* NULL over a URL */
	struct remote *remote;        /* NULL over the socket */
	struct schema *schema; /* NULL until backend_schema */
	int64_t deadline;      /* monotonic ns; INT64_MAX = none */
};

int backend_open(struct backend *b, const struct cli_common *common);
/* The same for what only the socket can do, as b->client has it: a URL is refused. */
int backend_open_socket(struct backend *b, const struct cli_common *common, const char *what);
void backend_close(struct backend *b);

/* Connects again, once and without a word: 0, or negative (backend_error). */
int backend_retry(struct backend *b, int64_t timeout_ns);
/* What went wrong last, in words. */
const char *backend_error(const struct backend *b);

/* Connects again until somebody answers or the deadline has passed; says so once. */
int backend_reopen(struct backend *b);

/* Asks for the schema once. */
int backend_schema(struct backend *b);

/* What is left until the deadline; 0 = no deadline, negative = passed. */
int64_t backend_time_left(const struct backend *b);

/* One unary call of a method that must succeed: the payload, or the problem on
 * stderr. *replyp is given on CLI_OK only. */
int backend_call(struct backend *b, const char *service, const char *method,
		 const struct buf *in, struct errand_reply **replyp);

/* The same with metadata. */
int backend_call_with(struct backend *b, const char *service, const char *method, const struct buf *in,
		      const struct errand_pair *metadata, size_t n_metadata, struct errand_reply **replyp);

/* A call of any method, and of one that streams, with the returns of errand_client_call and
 * errand_client_stream: to be used instead of them, since there may be no client. o may be NULL. */
int backend_ask(struct backend *b, const char *service, const char *method, const struct buf *in,
		const struct errand_call_options *o, struct errand_reply **replyp);
int backend_stream(struct backend *b, const char *service, const char *method, const struct buf *in,
		   const struct errand_call_options *o,
		   int (*on_message)(const void *message, size_t len, void *arg), void *arg,
		   struct errand_reply **replyp);

/* What to exit with after a call's transport failed with r (< 0), said. */
int backend_failed(const struct backend *b, int r);
/* The same for a reply with a code other than OK. */
int backend_refused(const struct backend *b, const char *what, const struct errand_reply *reply);

#define TASKS_SERVICE "errand.v1.Tasks"

#endif
