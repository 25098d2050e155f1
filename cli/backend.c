#define _GNU_SOURCE
#include "cli/backend.h"

#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/pbuf.h"
#include "cli/show.h"

int64_t backend_time_left(const struct backend *b)
{
	int64_t left;

	if (b->deadline == INT64_MAX)
		return 0;
	left = b->deadline - clock_mono_ns();
	return left > 0 ? left : -1;
}

static int connect_socket(struct backend *b, int64_t left)
{
	struct errand_client_options options = {.connect_timeout_ns = 5 * NS_PER_S};

	if (left > 0)
		options.connect_timeout_ns = MIN(options.connect_timeout_ns, left);
	b->client = errand_client_close(b->client);
	return errand_client_open(&b->client, b->target.socket, &options);
}

/* Does the gateway answer, and the service behind it? A proxy may keep /readyz to itself. */
static int connect_remote(struct backend *b, int64_t left)
{
	int status = remote_get(b->remote, "/readyz", left > 0 ? MIN(left, 5 * NS_PER_S) : 5 * NS_PER_S, NULL);

	return status < 0 || (status >= 502 && status <= 504) ? -ERRAND_UNAVAILABLE : 0;
}

static int backend_connect(struct backend *b)
{
	int64_t left = backend_time_left(b);

	if (left < 0)
		return -ERRAND_DEADLINE_EXCEEDED;
	return b->remote != NULL ? connect_remote(b, left) : connect_socket(b, left);
}

const char *backend_error(const struct backend *b)
{
	if (b->remote != NULL)
		return remote_error(b->remote);
	return b->client != NULL ? errand_client_error(b->client) : "out of memory";
}

int backend_retry(struct backend *b, int64_t timeout_ns)
{
	return b->remote != NULL ? 0 : connect_socket(b, timeout_ns);
}

/* Over a URL nothing is asked before the first call. */
static int open_remote(struct backend *b)
{
	char why[512];

	b->remote = remote_open(&b->target, why, sizeof why);
	if (b->remote != NULL)
		return CLI_OK;
	cli_error("%s", why);
	backend_close(b);
	return CLI_UNREACHABLE;
}

int backend_open(struct backend *b, const struct cli_common *common)
{
	int r;

	*b = (struct backend){.common = common, .deadline = INT64_MAX};
	cli_errors_as_json(common->json);
	if (common->timeout > 0)
		b->deadline = clock_mono_ns() + common->timeout;
	r = target_find(&b->target, common);
	if (r != CLI_OK)
		return r;
	if (b->target.url != NULL)
		return open_remote(b);
	if (backend_connect(b) == 0)
		return CLI_OK;
	cli_error("cannot reach the service: %s", backend_error(b));
	if (!common->json)
		cli_error("`errand dev` starts one; --socket, --url or a context names another, "
			  "`errand doctor` looks for what is wrong");
	r = backend_time_left(b) < 0 ? CLI_TIMEOUT : CLI_UNREACHABLE;
	backend_close(b);
	return r;
}

int backend_open_socket(struct backend *b, const struct cli_common *common, const char *what)
{
	int r = backend_open(b, common);

	if (r != CLI_OK || b->remote == NULL)
		return r;
	cli_error("%s needs the service's own socket, and %s is a URL: run it on that machine with --socket PATH, "
		  "or bring the socket here: ssh -L /tmp/errand.sock:SOCKET HOST, then --socket /tmp/errand.sock",
		  what, target_name(&b->target));
	backend_close(b);
	return CLI_USAGE;
}

void backend_close(struct backend *b)
{
	b->client = errand_client_close(b->client);
	b->remote = remote_close(b->remote);
	b->schema = schema_unref(b->schema);
	target_deinit(&b->target);
}

int backend_reopen(struct backend *b)
{
	int64_t pause = 50 * NS_PER_MS;
	bool said = false;

	while (backend_connect(b) < 0) {
		int64_t left = backend_time_left(b);

		if (left < 0)
			return backend_failed(b, -ERRAND_DEADLINE_EXCEEDED);
		if (left > 0)
			pause = MIN(pause, left);
		if (!said && !b->common->json)
			cli_error("the service is gone: waiting for it");
		said = true;
		nanosleep(&(struct timespec){pause / NS_PER_S, pause % NS_PER_S}, NULL);
		pause = MIN(pause * 2, NS_PER_S);
	}
	return CLI_OK;
}

int backend_failed(const struct backend *b, int r)
{
	if (r == -ERRAND_DEADLINE_EXCEEDED && b->common->timeout > 0)
		cli_error("no answer within --timeout");
	else
		cli_error("the connection to the service failed: %s", backend_error(b));
	return cli_exit_of(-r) == CLI_OK ? CLI_FAILED : cli_exit_of(-r);
}

/* What to do about an answer that is about the caller. */
static void backend_advise(const struct backend *b, int code)
{
	const struct target *t = &b->target;

	if (b->remote == NULL || b->common->json)
		return;
	if (code == ERRAND_UNAUTHENTICATED && t->token == NULL)
		cli_error("%s wants a token: make one on its machine with `errand token create`, put it into a file of "
			  "mode 0600 and name that in ERRAND_TOKEN_FILE or as the context's token-file", target_name(t));
	else if (code == ERRAND_UNAUTHENTICATED)
		cli_error("%s does not take this token: it may be mistyped, expired or revoked; `errand token list` on "
			  "its machine shows those that count", target_name(t));
	else if (code == ERRAND_PERMISSION_DENIED)
		cli_error("the token may not do this: reading needs the scope read, calls need call, and what changes "
			  "tasks, queues or workers of others needs operate; `errand token create` makes one with more");
}

int backend_refused(const struct backend *b, const char *what, const struct errand_reply *reply)
{
	show_problem(what, reply->code, reply->message,
		     (struct bytes){reply->problem, reply->problem_len},
		     b->common->json ? b->schema : NULL);
	backend_advise(b, reply->code);
	return cli_exit_of(reply->code);
}

int backend_ask(struct backend *b, const char *service, const char *method, const struct buf *in,
		const struct errand_call_options *o, struct errand_reply **replyp)
{
	const struct remote_call c = {b->schema, service, method, buf_bytes(in), o};

	if (b->remote != NULL)
		return remote_call(b->remote, &c, replyp);
	return errand_client_call(b->client, service, method, in->data, in->len, o, replyp);
}

/* errand.v1.SchemaReply.file_descriptor_set */
static struct bytes get_set(const struct errand_reply *reply)
{
	struct pbuf_reader r = pbuf_reader(reply->payload, reply->payload_len);
	struct bytes set = {NULL, 0};
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		if (f.number == 2 && f.wire == PBUF_LEN)
			set = f.bytes;
	return set;
}

/* b->schema, or how the call went otherwise: negative, or its reply. A set that cannot be used
 * is INTERNAL, with the reason in why. */
static int load_schema(struct backend *b, struct errand_reply **replyp, char *why, size_t why_size)
{
	struct errand_call_options o = {.timeout_ns = backend_time_left(b)};
	struct errand_reply *reply;
	struct buf none = BUF_INIT;
	struct bytes set;
	int r;

	*why = '\0';
	if (o.timeout_ns < 0)
		return -ERRAND_DEADLINE_EXCEEDED;
	r = backend_ask(b, "errand.v1.Schema", "Get", &none, &o, &reply);
	if (r < 0)
		return r;
	if (reply->code != ERRAND_OK) {
		*replyp = reply;
		return 0;
	}
	set = get_set(reply);
	if (schema_load(set.data, set.len, &b->schema, why, why_size) < 0)
		r = -ERRAND_INTERNAL;
	errand_reply_free(reply);
	return r;
}

/* Events of a URL are JSON: the schema tells what they are. */
static int stream_remote(struct backend *b, struct remote_call *c,
			 int (*on_message)(const void *message, size_t len, void *arg), void *arg,
			 struct errand_reply **replyp)
{
	char why[512];
	int r = 0;

	*replyp = NULL;
	if (b->schema == NULL)
		r = load_schema(b, replyp, why, sizeof why);
	if (r < 0 || *replyp != NULL)
		return r;
	c->schema = b->schema;
	return remote_stream(b->remote, c, on_message, arg, replyp);
}

int backend_stream(struct backend *b, const char *service, const char *method, const struct buf *in,
		   const struct errand_call_options *o,
		   int (*on_message)(const void *message, size_t len, void *arg), void *arg,
		   struct errand_reply **replyp)
{
	struct remote_call c = {b->schema, service, method, buf_bytes(in), o};

	if (b->remote != NULL)
		return stream_remote(b, &c, on_message, arg, replyp);
	return errand_client_stream(b->client, service, method, in->data, in->len, o, on_message, arg,
				    replyp);
}

int backend_call(struct backend *b, const char *service, const char *method,
		 const struct buf *in, struct errand_reply **replyp)
{
	return backend_call_with(b, service, method, in, NULL, 0, replyp);
}

int backend_call_with(struct backend *b, const char *service, const char *method, const struct buf *in,
		      const struct errand_pair *metadata, size_t n_metadata, struct errand_reply **replyp)
{
	struct errand_call_options options = {
		.timeout_ns = backend_time_left(b), .metadata = metadata, .n_metadata = n_metadata,
	};
	struct errand_reply *reply = NULL;
	int r = -ERRAND_DEADLINE_EXCEEDED;

	if (options.timeout_ns >= 0)
		r = backend_ask(b, service, method, in, &options, &reply);
	if (r < 0)
		return backend_failed(b, r);
	if (reply->code != ERRAND_OK) {
		r = backend_refused(b, NULL, reply);
		errand_reply_free(reply);
		return r;
	}
	*replyp = reply;
	return CLI_OK;
}

int backend_schema(struct backend *b)
{
	struct errand_reply *reply = NULL;
	char why[512];
	int r = b->schema != NULL ? 0 : load_schema(b, &reply, why, sizeof why);

	if (r == -ERRAND_INTERNAL && *why != '\0') {
		cli_error("the service's schema cannot be used: %s", why);
		return CLI_FAILED;
	}
	if (r < 0)
		return backend_failed(b, r);
	if (reply == NULL)
		return CLI_OK;
	r = backend_refused(b, NULL, reply);
	errand_reply_free(reply);
	return r;
}
