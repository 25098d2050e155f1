/* durable.c: see durable.h.
 *
 *   task_create ─▶ created ─┬─ accept, no wait ─────────────▶ 202, the task
 *                           └─ task_wait ─▶ ended in time ──▶ its result or its error
 *                                       └─▶ not in time ────▶ 202; or DEADLINE_EXCEEDED to a
 *                                                             caller that knows no tasks
 * The client may go away at any point; the task goes on. */
#include "service/durable.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/digits.h"
#include "base/util.h"
#include "errand/status.h"
#include "service/fingerprint.h"
#include "service/payload.h"
#include "service/task.h"
#include "service/task_api.h"
#include "service/task_draft.h"
#include "service/task_room.h"

struct durable {
	struct request *request;    /* NULL: the client has gone */
	const struct method *method;
	bool accept;                /* the caller understands a task as the answer */
	bool asked;                 /* he asked for one */
	bool replayed;              /* there is one already, of the same Idempotency-Key */
	int64_t wait_ns;            /* how long he waits for the end; < 0 = without limit */
	struct task_wait *wait;     /* while it waits */
	size_t memory;              /* of the input, until it is stored */
	char id[UUID_TEXT_SIZE];
	bool crowded;               /* there is little room in its queue: */
	struct ratelimit room;
};

static size_t memory; /* of all inputs that are being stored */

size_t durable_memory(void)
{
	return memory;
}

static struct bytes text(const char *s)
{
	return (struct bytes){(const uint8_t *)s, strlen(s)};
}

/* What of Prefer was done (RFC 7240): out lives as long as the answer. */
static void put_applied(const struct durable *d, struct wire_response *w, char out[64])
{
	bool wait = d->accept && d->wait_ns > 0;

	if (!d->asked && !wait)
		return;
	snprintf(out, 64, "%s%s", d->asked ? "respond-async" : "", d->asked && wait ? ", " : "");
	if (wait)
		snprintf(out + strlen(out), 64 - strlen(out), "wait=%lld",
			 (long long)(d->wait_ns / NS_PER_S));
	wire_pair_add(w->metadata, &w->n_metadata, "preference-applied", text(out));
}

/* What was found when the task was to be made: room lives as long as the answer. */
static void put_found(const struct durable *d, struct wire_response *w, struct ratelimit *room)
{
	if (d->replayed)
		wire_pair_add(w->metadata, &w->n_metadata, "idempotency-replayed", text("true"));
	if (!d->crowded)
		return;
	*room = d->room;
	wire_pair_add(w->metadata, &w->n_metadata, "ratelimit", text(room->limit));
	wire_pair_add(w->metadata, &w->n_metadata, "ratelimit-policy", text(room->policy));
}

static void durable_free(struct durable *d)
{
	if (d->request != NULL) {
		d->request->op = NULL;
		d->request->cancelled = NULL;
	}
	free(d);
}

/* --- answers --- */

static void answer_error(struct durable *d, int code, const char *why, struct bytes problem)
{
	AUTO_BUF own = BUF_INIT;
	struct wire_response w;
	struct ratelimit room;
	struct request *r = d->request;

	w.code = task_failure(code, why, &own);
	w.message = text(why != NULL ? why : "");
	w.details = own.len > 0 ? buf_bytes(&own) : problem;
	w.payload = (struct bytes){0};
	w.n_metadata = 0;
	if (w.code == ERRAND_RESOURCE_EXHAUSTED || w.code == ERRAND_UNAVAILABLE)
		wire_pair_add(w.metadata, &w.n_metadata, "retry-after", text("1"));
	put_found(d, &w, &room);
	durable_free(d);
	session_answer(r, &w, NULL, NULL);
}

/* 202: the task as it is. */
static void answer_task(struct durable *d, const struct task_row *row)
{
	AUTO_BUF packed = BUF_INIT;
	struct wire_response w;
	struct ratelimit room;
	struct request *r = d->request;
	char location[TASK_LOCATION_SIZE], etag[TASK_ETAG_SIZE], retry[DECIMAL_MAX + 1], applied[64];

	task_pack(row, NULL, 0, &packed);
	*decimal_put(retry, task_retry_after_s(row)) = '\0';
	w.code = 0;
	w.message = w.details = (struct bytes){0};
	w.payload = buf_bytes(&packed);
	w.n_metadata = 0;
	wire_pair_add(w.metadata, &w.n_metadata, "errand-message", text("errand.v1.Task"));
	wire_pair_add(w.metadata, &w.n_metadata, "errand-http-status", text("202"));
	wire_pair_add(w.metadata, &w.n_metadata, "location", text(task_location(&row->id, location)));
	wire_pair_add(w.metadata, &w.n_metadata, "retry-after", text(retry));
	wire_pair_add(w.metadata, &w.n_metadata, "etag", text(task_etag(row, etag)));
	wire_pair_add(w.metadata, &w.n_metadata, "cache-control", text("no-store"));
	put_applied(d, &w, applied);
	put_found(d, &w, &room);
	durable_free(d);
	session_answer(r, &w, NULL, NULL);
}

static void answer_result(struct durable *d, const struct task_row *row)
{
	struct wire_response w;
	struct ratelimit room;
	struct request *r = d->request;
	char applied[64];

	w.code = 0;
	w.message = w.details = (struct bytes){0};
	w.payload = buf_bytes(&row->result);
	w.n_metadata = 0;
	wire_pair_add(w.metadata, &w.n_metadata, "cache-control", text("no-store"));
	put_applied(d, &w, applied);
	put_found(d, &w, &room);
	durable_free(d);
	session_answer(r, &w, NULL, NULL);
}

static void answer_failed(struct durable *d, const struct task_row *row)
{
	AUTO_FREE char *detail = NULL;
	int code = ERRAND_CANCELLED;

	if (row->state != TASK_CANCELLED)
		code = task_problem_read(buf_bytes(&row->error), &detail);
	answer_error(d, code, row->state == TASK_CANCELLED ? "the task was cancelled" : detail,
		     buf_bytes(&row->error));
}

/* Still under way: a task for who knows them, an end of patience for others. */
static void answer_live(struct durable *d, const struct task_row *row, int code, const char *why)
{
	char say[128];

	if (d->accept) {
		answer_task(d, row);
		return;
	}
	snprintf(say, sizeof say, "%s; the task %s goes on", why, d->id);
	answer_error(d, code, say, (struct bytes){0});
}

/* --- the way of a request --- */

/* What there is to answer with when the waiting is over; live_code and live_why
 * for a task that is still under way. */
static void answer_now(struct durable *d, int code, const char *why, const struct task_row *row,
		       int live_code, const char *live_why)
{
	if (code != 0)
		answer_error(d, code, why, (struct bytes){0});
	else if (row->state == TASK_SUCCEEDED)
		answer_result(d, row);
	else if (task_state_terminal(row->state))
		answer_failed(d, row);
	else
		answer_live(d, row, live_code, live_why);
}

static void on_waited(int code, const char *why, const struct task_row *row, void *arg)
{
	struct durable *d = arg;

	d->wait = NULL;
	answer_now(d, code, why, row, ERRAND_DEADLINE_EXCEEDED, "not done within the deadline");
}

static void on_created(int code, enum task_found found, const char *why,
		       const struct task_row *row, void *arg)
{
	struct durable *d = arg;

	memory -= d->memory;
	if (d->request == NULL) {
		durable_free(d);
		return;
	}
	d->replayed = code == 0 && found == TASK_REPLAYED;
	if (code != 0) {
		AUTO_BUF problem = BUF_INIT;

		code = task_draft_failure(code, found, why, &problem);
		answer_error(d, code, why, buf_bytes(&problem));
		return;
	}
	uuid_format(&row->id, d->id);
	if (d->accept && d->wait_ns == 0)
		answer_task(d, row);
	else
		d->wait = task_wait_made(row, d->wait_ns, on_waited, d);
}

static void on_cancelled(struct request *r)
{
	struct durable *d = r->op;

	d->request = NULL;
	if (d->wait == NULL)
		return; /* on_created frees it */
	task_unwait(d->wait);
	durable_free(d);
}

bool durable_is(const struct request *r)
{
	return r->cancelled == on_cancelled;
}

static void on_ended_early(int code, const char *why, const struct task_row *row, void *arg)
{
	struct durable *d = arg;

	if (d->request == NULL)
		durable_free(d);
	else
		answer_now(d, code, why, row, ERRAND_UNAVAILABLE, "the service is stopping");
}

/* Before on_created has come there is nothing to say yet; it comes soon. */
void durable_end_wait(struct request *r)
{
	struct durable *d = r->op;

	if (d->wait == NULL) {
		d->wait_ns = d->accept ? 0 : 1;
		return;
	}
	task_unwait(d->wait);
	d->wait = NULL;
	task_get(d->id, on_ended_early, d);
}

/* --- the request --- */

static int64_t number(struct bytes b)
{
	int64_t n = 0;

	for (size_t i = 0; i < b.len; i++)
		if (b.data[i] < '0' || b.data[i] > '9' || __builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, b.data[i] - '0', &n))
			return 0;
	return n;
}

static bool has_value(const struct wire_request *w, const char *key, const char *value)
{
	struct bytes b = wire_pair_get(w->metadata, w->n_metadata, key);

	return b.data != NULL && b.len == strlen(value) && memcmp(b.data, value, b.len) == 0;
}

static void create(struct durable *d, const struct wire_request *w, struct bytes input, const char *key)
{
	const struct bytes parts[] = {{NULL, 0}, input}; /* of a CreateTaskRequest without options */
	uint8_t fingerprint[FINGERPRINT_SIZE];
	struct task_spec spec = {.method = d->method, .input = input, .metadata = w->metadata,
				 .n_metadata = w->n_metadata, .key = key, .fingerprint = fingerprint};

	if (key != NULL)
		fingerprint_make(d->method->schema->full_name, parts, ARRAY_LEN(parts), fingerprint);
	d->memory = sizeof *d + input.len;
	memory += d->memory;
	d->crowded = task_room_read(d->method, NULL, &d->room);
	task_create(&spec, on_created, d);
}

static void refuse(struct request *r, int code, const char *why, struct bytes problem)
{
	struct wire_response w = {.code = code, .message = text(why), .details = problem};

	session_answer(r, &w, NULL, NULL);
}

void durable_request(struct request *r, const struct method *method, const struct wire_request *w,
		     bool asked)
{
	AUTO_BUF merged = BUF_INIT;
	AUTO_BUF problem = BUF_INIT;
	struct bytes input = w->payload;
	struct durable *d;
	char why[256], key[TASK_KEY_SIZE];
	int code = payload_check_input(method, &input, true, &merged, &problem, why, sizeof why);

	if (code == 0 && !task_key_read(wire_pair_get(w->metadata, w->n_metadata, "idempotency-key"), key)) {
		task_key_problem(&problem, why, sizeof why);
		code = -ERRAND_INVALID_ARGUMENT;
	}
	/* A task that cannot even be read is refused now, not at its first attempt. */
	if (code < 0) {
		refuse(r, -code, why, buf_bytes(&problem));
		return;
	}
	d = xcalloc(1, sizeof *d);
	d->request = r;
	d->method = method;
	d->accept = has_value(w, "errand-task", "accept");
	d->asked = asked;
	d->wait_ns = number(wire_pair_get(w->metadata, w->n_metadata, "prefer-wait"));
	if (!d->accept)
		d->wait_ns = w->timeout_ns > 0 ? w->timeout_ns : -1;
	r->op = d;
	r->cancelled = on_cancelled;
	create(d, w, input, *key != '\0' ? key : NULL);
}
