/* health.c: answers from the loop thread's own state; asks nobody. */
#include "gateway/health.h"

#include "errand/status.h"
#include "gateway/problem.h"

static void answer_ok(struct http_request *r)
{
	struct buf body = BUF_INIT;

	buf_append_str(&body, "{\"status\":\"ok\"}");
	http_set_header(r, "Cache-Control", "no-store");
	http_reply(r, 200, "application/json", &body);
}

/* Why it is not ready; NULL when it is. */
static const char *unready(const struct gateway_thread *t)
{
	if (t->config->state->draining)
		return "draining: the gateway is about to stop";
	if (!upstream_is_up(t->upstream) || t->config->state->n_up < t->config->threads)
		return "no connection to the service, or no answer from it";
	if (t->snapshot == NULL)
		return "the service has not sent its schema yet";
	if (t->trouble[0] != '\0')
		return t->trouble;
	return NULL;
}

void health_live(struct http_request *r, const struct gateway_thread *t)
{
	answer_ok(r);
}

void health_ready(struct http_request *r, const struct gateway_thread *t)
{
	const char *why = unready(t);

	if (why == NULL) {
		answer_ok(r);
		return;
	}
	http_set_header(r, "Cache-Control", "no-store");
	problem_reply(r, 503, ERRAND_UNAVAILABLE, "%s", why);
}
