/* metrics.c: see metrics.h. Writing the page is at the end; a table says which
 * number is under which name. */
#define _GNU_SOURCE
#include "config.h"

#include "gateway/metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/map.h"
#include "base/prom.h"
#include "gateway/exchange.h"
#include "gateway/park.h"
#include "gateway/snapshot.h"

enum {
	N_VERBS = 8,
	N_CLASSES = 4, /* 2xx to 5xx */
	N_CODES = ERRAND_UNAUTHENTICATED + 1,
	N_BUCKETS = 15,
	METHODS_MAX = 4096, /* over all schemas; more are counted together */
};

static const char *const verbs[N_VERBS] = {
	"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other",
};
static const int denials[] = {401, 403, 429}; /* by the gateway itself */
static const int refusals[] = {400, 405, 408, 413, 414, 417, 421, 431, 501, 505};
static const struct {
	int64_t ns;
	const char *le;
} buckets[N_BUCKETS] = {
	{1000000, "0.001"}, {2500000, "0.0025"}, {5000000, "0.005"}, {10000000, "0.01"},
	{25000000, "0.025"}, {50000000, "0.05"}, {100000000, "0.1"}, {250000000, "0.25"},
	{500000000, "0.5"}, {1000000000, "1"}, {2500000000, "2.5"}, {5000000000, "5"},
	{10000000000, "10"}, {30000000000, "30"}, {60000000000, "60"},
};

/* All numbers of a thread that are not a method's, in one array so that they are
 * summed in one loop. */
enum number {
	REQUESTS, /* by verb and class */
	REFUSED = REQUESTS + N_VERBS * N_CLASSES,
	BUCKETS = REFUSED + ARRAY_LEN(refusals), /* not cumulative; the last is +Inf's */
	DURATION_US = BUCKETS + N_BUCKETS + 1,
	UPSTREAM_BUCKETS,
	UPSTREAM_US = UPSTREAM_BUCKETS + N_BUCKETS + 1,
	DENIED,
	CALLS_BEGUN = DENIED + ARRAY_LEN(denials), CALLS_ENDED,
	STREAMS_BEGUN, UPSTREAM_LOST, STREAMS_ENDED,
	N_COUNTED = STREAMS_ENDED + N_STREAM_ENDS,
	/* of a scrape only */
	CONNS_ACCEPTED = N_COUNTED, CONNS_OPEN, TURNED_AWAY, PAUSES_LIMIT, PAUSES_FILES,
	TIMEOUTS_IDLE, TIMEOUTS_HEAD, TIMEOUTS_BODY, TIMEOUTS_WRITE, BYTES_IN, BYTES_OUT,
	HANDSHAKES, HANDSHAKES_FAILED,
	CALLS_OPEN, STREAMS_OPEN, PARKED, THREADS, UP, GENERATION, SCHEMAS_REFUSED, ONE,
	N_NUMBERS
};

/* The calls of one method. */
struct method_calls {
	char *name; /* owned */
	uint64_t by_code[N_CODES];
};

/* The answers of one route. */
struct route_answers {
	char *name; /* owned */
	uint64_t by_class[N_CLASSES];
};

struct metrics {
	struct list node; /* in registry */
	const struct gateway_thread *t;
	_Atomic uint64_t n[N_COUNTED];
	pthread_mutex_t lock; /* guards methods and routes */
	struct map methods;   /* of struct method_calls, owned */
	struct map routes;    /* of struct route_answers, owned */
	struct method_calls *last; /* found last time, as the next */
	struct route_answers *last_route;
};

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER; /* guards registry */
static struct list registry = LIST_INIT(registry);

/* --- counting --- */

struct metrics *metrics_new(const struct gateway_thread *t)
{
	struct metrics *m = xcalloc(1, sizeof *m);

	m->t = t;
	pthread_mutex_init(&m->lock, NULL);
	pthread_mutex_lock(&registry_lock);
	list_push_back(&registry, &m->node);
	pthread_mutex_unlock(&registry_lock);
	return m;
}

void metrics_hide(struct metrics *m)
{
	pthread_mutex_lock(&registry_lock);
	list_remove(&m->node);
	pthread_mutex_unlock(&registry_lock);
}

static void methods_free(struct map *methods)
{
	struct method_calls *c;
	size_t at = 0;

	while ((c = map_next(methods, &at)) != NULL) {
		free(c->name);
		free(c);
	}
	map_deinit(methods);
}

static void routes_free(struct map *routes)
{
	struct route_answers *a;
	size_t at = 0;

	while ((a = map_next(routes, &at)) != NULL) {
		free(a->name);
		free(a);
	}
	map_deinit(routes);
}

struct metrics *metrics_free(struct metrics *m)
{
	if (m == NULL)
		return NULL;
	metrics_hide(m);
	methods_free(&m->methods);
	routes_free(&m->routes);
	pthread_mutex_destroy(&m->lock);
	free(m);
	return NULL;
}

static void count(struct metrics *m, size_t which, uint64_t n)
{
	atomic_store_explicit(&m->n[which],
			      atomic_load_explicit(&m->n[which], memory_order_relaxed) + n,
			      memory_order_relaxed);
}

static void count_time(struct metrics *m, size_t first_bucket, int64_t ns)
{
	size_t b = 0;

	while (b < N_BUCKETS && ns > buckets[b].ns)
		b++;
	count(m, first_bucket + b, 1);
	count(m, first_bucket + N_BUCKETS + 1, (uint64_t)ns / 1000); /* the sum stands behind the buckets */
}

static struct route_answers *route_answers(struct map *routes, const char *name)
{
	struct route_answers *a = map_get_str(routes, name);

	if (a == NULL && routes->n_used >= METHODS_MAX)
		a = map_get_str(routes, name = "other");
	if (a != NULL)
		return a;
	a = xcalloc(1, sizeof *a);
	a->name = xstrdup(name);
	map_put_str(routes, a->name, a);
	return a;
}

static void count_route(struct metrics *m, const char *route, size_t class)
{
	pthread_mutex_lock(&m->lock);
	if (m->last_route == NULL || strcmp(m->last_route->name, route) != 0)
		m->last_route = route_answers(&m->routes, route);
	m->last_route->by_class[class]++;
	pthread_mutex_unlock(&m->lock);
}

void metrics_request(struct metrics *m, const struct metrics_answer *a)
{
	size_t v = 0, class = (size_t)MIN(MAX(a->status / 100, 2), 5) - 2;

	while (v < N_VERBS - 1 && strcmp(verbs[v], a->verb) != 0)
		v++;
	count(m, REQUESTS + v * N_CLASSES + class, 1);
	if (a->ns >= 0)
		count_time(m, BUCKETS, a->ns);
	if (a->upstream_ns >= 0)
		count_time(m, UPSTREAM_BUCKETS, a->upstream_ns);
	else
		for (size_t i = 0; i < ARRAY_LEN(denials); i++)
			if (denials[i] == a->status)
				count(m, DENIED + i, 1);
	if (a->route != NULL)
		count_route(m, a->route, class);
}

void metrics_refused(struct metrics *m, int status)
{
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++)
		if (refusals[i] == status)
			count(m, REFUSED + i, 1);
}

void metrics_call_begin(struct metrics *m)
{
	count(m, CALLS_BEGUN, 1);
}

static struct method_calls *method_calls(struct map *methods, const char *name)
{
	struct method_calls *c = map_get_str(methods, name);

	if (c == NULL && methods->n_used >= METHODS_MAX)
		c = map_get_str(methods, name = "other");
	if (c != NULL)
		return c;
	c = xcalloc(1, sizeof *c);
	c->name = xstrdup(name);
	map_put_str(methods, c->name, c);
	return c;
}

void metrics_call_end(struct metrics *m, const char *method, int code)
{
	if (code < 0 || code >= N_CODES)
		code = ERRAND_UNKNOWN;
	count(m, CALLS_ENDED, 1);
	pthread_mutex_lock(&m->lock);
	if (m->last == NULL || strcmp(m->last->name, method) != 0)
		m->last = method_calls(&m->methods, method);
	m->last->by_code[code]++;
	pthread_mutex_unlock(&m->lock);
}

void metrics_upstream_lost(struct metrics *m)
{
	count(m, UPSTREAM_LOST, 1);
}

void metrics_stream_begin(struct metrics *m)
{
	count(m, STREAMS_BEGUN, 1);
}

void metrics_stream_end(struct metrics *m, enum metrics_stream_end why)
{
	count(m, STREAMS_ENDED + why, 1);
}

/* --- summing up --- */

struct totals {
	uint64_t n[N_NUMBERS];
	struct map methods; /* of struct method_calls, owned */
	struct map routes;  /* of struct route_answers, owned */
};

static uint64_t load(const _Atomic uint64_t *n)
{
	return atomic_load_explicit(n, memory_order_relaxed);
}

static void add_http(uint64_t *n, const struct http_stats *s)
{
	uint64_t closed = load(&s->closed); /* first: what is open is never negative */

	n[CONNS_ACCEPTED] += load(&s->accepted);
	n[CONNS_OPEN] += prom_left(load(&s->accepted), closed);
	n[TURNED_AWAY] += load(&s->turned_away);
	n[PAUSES_LIMIT] += load(&s->pauses_limit);
	n[PAUSES_FILES] += load(&s->pauses_files);
	n[TIMEOUTS_IDLE] += load(&s->timeouts_idle);
	n[TIMEOUTS_HEAD] += load(&s->timeouts_head);
	n[TIMEOUTS_BODY] += load(&s->timeouts_body);
	n[TIMEOUTS_WRITE] += load(&s->timeouts_write);
	n[HANDSHAKES] += load(&s->handshakes);
	n[HANDSHAKES_FAILED] += load(&s->handshakes_failed);
	n[BYTES_IN] += load(&s->bytes_in);
	n[BYTES_OUT] += load(&s->bytes_out);
}

static void add_named(struct totals *sum, struct metrics *m)
{
	const struct method_calls *c;
	const struct route_answers *a;
	size_t at = 0;

	pthread_mutex_lock(&m->lock);
	while ((c = map_next(&m->methods, &at)) != NULL) {
		struct method_calls *to = method_calls(&sum->methods, c->name);

		for (size_t i = 0; i < N_CODES; i++)
			to->by_code[i] += c->by_code[i];
	}
	at = 0;
	while ((a = map_next(&m->routes, &at)) != NULL) {
		struct route_answers *to = route_answers(&sum->routes, a->name);

		for (size_t i = 0; i < N_CLASSES; i++)
			to->by_class[i] += a->by_class[i];
	}
	pthread_mutex_unlock(&m->lock);
}

static void sum_up(struct totals *sum)
{
	pthread_mutex_lock(&registry_lock);
	LIST_FOREACH(node, &registry) {
		struct metrics *m = LIST_ENTRY(node, struct metrics, node);

		for (size_t i = N_COUNTED; i-- > 0;) /* ends before beginnings, see above */
			sum->n[i] += load(&m->n[i]);
		if (m->t->http != NULL)
			add_http(sum->n, http_server_stats(m->t->http));
		add_named(sum, m);
		sum->n[PARKED] += park_count(m->t->park);
		sum->n[THREADS]++;
	}
	pthread_mutex_unlock(&registry_lock);
	sum->n[CALLS_OPEN] = prom_left(sum->n[CALLS_BEGUN], sum->n[CALLS_ENDED]);
	sum->n[STREAMS_OPEN] = sum->n[STREAMS_BEGUN];
	for (size_t i = 0; i < N_STREAM_ENDS; i++)
		sum->n[STREAMS_OPEN] = prom_left(sum->n[STREAMS_OPEN], sum->n[STREAMS_ENDED + i]);
}

static void sum_process(struct totals *sum, const struct gateway_thread *t)
{
	sum->n[UP] = t->config->state->n_up;
	sum->n[GENERATION] = t->snapshot != NULL ? t->snapshot->generation : 0;
	sum->n[SCHEMAS_REFUSED] = snapshot_n_refused();
	sum->n[ONE] = 1;
}

/* --- the page --- */

#define P "errand_gateway_"

/* Lines of one family are next to each other. */
static const struct line {
	enum number number;
	const char *name, *labels, *type, *help;
} lines[] = {
	{ONE, P "build_info", "{version=\"" PACKAGE_VERSION "\"}", "gauge", "Always 1."},
	{THREADS, P "threads", "", "gauge", "Loop threads."},
	{CONNS_OPEN, P "connections_open", "", "gauge", "HTTP connections now."},
	{CONNS_ACCEPTED, P "connections_accepted_total", "", "counter", "HTTP connections accepted."},
	{TURNED_AWAY, P "connections_turned_away_total", "", "counter",
	 "Connections answered with 503 for want of a file descriptor."},
	{PAUSES_LIMIT, P "accept_pauses_total", "{reason=\"limit\"}", "counter",
	 "Times a thread stopped accepting: connection limit, or no file descriptors."},
	{PAUSES_FILES, P "accept_pauses_total", "{reason=\"files\"}", "", ""},
	{HANDSHAKES, P "tls_handshakes_total", "{result=\"done\"}", "counter", "TLS handshakes."},
	{HANDSHAKES_FAILED, P "tls_handshakes_total", "{result=\"failed\"}", "", ""},
	{TIMEOUTS_IDLE, P "timeouts_total", "{kind=\"idle\"}", "counter",
	 "Connections ended by a deadline."},
	{TIMEOUTS_HEAD, P "timeouts_total", "{kind=\"head\"}", "", ""},
	{TIMEOUTS_BODY, P "timeouts_total", "{kind=\"body\"}", "", ""},
	{TIMEOUTS_WRITE, P "timeouts_total", "{kind=\"write\"}", "", ""},
	{BYTES_IN, P "received_bytes_total", "", "counter", "Bytes read from HTTP connections."},
	{BYTES_OUT, P "sent_bytes_total", "", "counter", "Bytes written to HTTP connections."},
	{CALLS_OPEN, P "calls_in_flight", "", "gauge", "Calls the service has not answered yet."},
	{STREAMS_OPEN, P "streams_open", "", "gauge", "Streamed answers under way."},
	{STREAMS_ENDED + STREAM_ENDED, P "streams_total", "{end=\"service\"}", "counter",
	 "Streams, by who ended them: the service, a client that went away, the gateway."},
	{STREAMS_ENDED + STREAM_GONE, P "streams_total", "{end=\"client\"}", "", ""},
	{STREAMS_ENDED + STREAM_CUT, P "streams_total", "{end=\"gateway\"}", "", ""},
	{PARKED, P "requests_parked", "", "gauge", "Requests that wait for a service being restarted."},
	{UP, P "upstream_up", "", "gauge", "Threads with a connection to the service."},
	{UPSTREAM_LOST, P "upstream_lost_total", "", "counter",
	 "Times a thread lost the service, did not find it, or got no answer to PING."},
	{GENERATION, P "schema_generation", "", "gauge", "Schemas used so far; 0 before the first."},
	{SCHEMAS_REFUSED, P "schema_refused_total", "", "counter", "Schemas that could not be used."},
};

static void put_requests(struct buf *b, const uint64_t *n)
{
	static const char name[] = P "requests_total";

	prom_family(b, name, "counter", "Requests answered, by method and class of status.");
	for (size_t v = 0; v < N_VERBS; v++)
		for (size_t c = 0; c < N_CLASSES; c++)
			buf_printf(b, "%s{method=\"%s\",class=\"%zuxx\"} %llu\n", name, verbs[v], c + 2,
				   (unsigned long long)n[REQUESTS + v * N_CLASSES + c]);
}

static void put_refused(struct buf *b, const uint64_t *n)
{
	static const char name[] = P "requests_refused_total";

	prom_family(b, name, "counter", "Requests refused before they were whole or legal, by status.");
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++)
		buf_printf(b, "%s{status=\"%d\"} %llu\n", name, refusals[i],
			   (unsigned long long)n[REFUSED + i]);
}

static void put_denied(struct buf *b, const uint64_t *n)
{
	static const char name[] = P "requests_denied_total";

	prom_family(b, name, "counter", "Requests the gateway itself answered with 401, 403 or 429, by status.");
	for (size_t i = 0; i < ARRAY_LEN(denials); i++)
		buf_printf(b, "%s{status=\"%d\"} %llu\n", name, denials[i], (unsigned long long)n[DENIED + i]);
}

static void put_histogram(struct buf *b, const char *name, const char *help, const uint64_t *n)
{
	uint64_t so_far = 0;

	prom_family(b, name, "histogram", help);
	for (size_t i = 0; i <= N_BUCKETS; i++) {
		so_far += n[i];
		buf_printf(b, "%s_bucket{le=\"%s\"} %llu\n", name, i < N_BUCKETS ? buckets[i].le : "+Inf",
			   (unsigned long long)so_far);
	}
	buf_printf(b, "%s_sum %.6f\n%s_count %llu\n", name, (double)n[N_BUCKETS + 1] / 1e6, name,
		   (unsigned long long)so_far);
}

static void put_routes(struct buf *b, const struct map *routes)
{
	static const char name[] = P "route_requests_total";
	const struct route_answers *a;
	size_t at = 0;

	prom_family(b, name, "counter", "Requests answered, by the template of their path and class of status.");
	while ((a = map_next(routes, &at)) != NULL)
		for (size_t c = 0; c < N_CLASSES; c++) {
			if (a->by_class[c] == 0)
				continue;
			buf_printf(b, "%s{route=\"", name);
			prom_label(b, a->name);
			buf_printf(b, "\",class=\"%zuxx\"} %llu\n", c + 2, (unsigned long long)a->by_class[c]);
		}
}

static void put_calls(struct buf *b, const struct map *methods)
{
	static const char name[] = P "calls_total";
	const struct method_calls *c;
	size_t at = 0;

	prom_family(b, name, "counter", "Calls that ended, by method and code.");
	while ((c = map_next(methods, &at)) != NULL)
		for (int code = 0; code < N_CODES; code++)
			if (c->by_code[code] > 0)
				buf_printf(b, "%s{method=\"%s\",code=\"%s\"} %llu\n", name, c->name,
					   err_info(code)->name, (unsigned long long)c->by_code[code]);
}

void metrics_answer(struct http_request *r, const struct gateway_thread *t)
{
	struct totals sum = {0};
	struct buf body = BUF_INIT;

	sum_up(&sum);
	sum_process(&sum, t);
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		if (*lines[i].type != '\0')
			prom_family(&body, lines[i].name, lines[i].type, lines[i].help);
		prom_value(&body, lines[i].name, lines[i].labels, sum.n[lines[i].number]);
	}
	put_requests(&body, sum.n);
	put_refused(&body, sum.n);
	put_denied(&body, sum.n);
	put_histogram(&body, P "request_duration_seconds", "From a request's last byte to its answer's, without streams.",
		      sum.n + BUCKETS);
	put_histogram(&body, P "upstream_duration_seconds", "From a call's sending to its end, streams too.",
		      sum.n + UPSTREAM_BUCKETS);
	put_routes(&body, &sum.routes);
	put_calls(&body, &sum.methods);
	prom_process(&body);
	methods_free(&sum.methods);
	routes_free(&sum.routes);
	http_set_header(r, "Cache-Control", "no-store");
	http_reply(r, 200, "text/plain; version=0.0.4; charset=utf-8", &body);
}
