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

static int backend_connect(struct backend *b)
{
	struct errand_client_options options = {.connect_timeout_ns = 5 * NS_PER_S};
	int64_t left = backend_time_left(b);

	if (left < 0)
		return -ERRAND_DEADLINE_EXCEEDED;
	if (left > 0)
		options.connect_timeout_ns = MIN(options.connect_timeout_ns, left);
	b->client = errand_client_close(b->client);
	return errand_client_open(&b->client, b->common->socket, &options);
}

int backend_open(struct backend *b, const struct cli_common *common)
{
	int r;

	*b = (struct backend){.common = common, .deadline = INT64_MAX};
	cli_errors_as_json(common->json);
	if (common->timeout > 0)
		b->deadline = clock_mono_ns() + common->timeout;
	r = backend_connect(b);
	if (r == 0)
		return CLI_OK;
	cli_error("cannot reach the service: %s",
		  b->client != NULL ? errand_client_error(b->client) : "out of memory");
	if (!common->json)
		cli_error("`errand dev` starts one; --socket or ERRAND_SOCKET names another");
	backend_close(b);
	return backend_time_left(b) < 0 ? CLI_TIMEOUT : CLI_UNREACHABLE;
}

void backend_close(struct backend *b)
{
	b->client = errand_client_close(b->client);
	b->schema = schema_unref(b->schema);
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
	else if (b->client != NULL)
		cli_error("the connection to the service failed: %s",
			  errand_client_error(b->client));
	else
		cli_error("out of memory");
	return cli_exit_of(-r) == CLI_OK ? CLI_FAILED : cli_exit_of(-r);
}

int backend_refused(const struct backend *b, const char *what, const struct errand_reply *reply)
{
	show_problem(what, reply->code, reply->message,
		     (struct bytes){reply->problem, reply->problem_len},
		     b->common->json ? b->schema : NULL);
	return cli_exit_of(reply->code);
}

int backend_ask(struct backend *b, const char *service, const char *method, const struct buf *in,
		const struct errand_call_options *o, struct errand_reply **replyp)
{
	return errand_client_call(b->client, service, method, in->data, in->len, o, replyp);
}

int backend_stream(struct backend *b, const char *service, const char *method, const struct buf *in,
		   const struct errand_call_options *o,
		   int (*on_message)(const void *message, size_t len, void *arg), void *arg,
		   struct errand_reply **replyp)
{
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

int backend_schema(struct backend *b)
{
	struct errand_reply *reply;
	struct buf none = BUF_INIT;
	char why[512] = "";
	struct bytes set;
	int r;

	if (b->schema != NULL)
		return CLI_OK;
	r = backend_call(b, "errand.v1.Schema", "Get", &none, &reply);
	if (r != CLI_OK)
		return r;
	set = get_set(reply);
	if (schema_load(set.data, set.len, &b->schema, why, sizeof why) < 0) {
		cli_error("the service's schema cannot be used: %s", why);
		r = CLI_FAILED;
	}
	errand_reply_free(reply);
	return r;
}
