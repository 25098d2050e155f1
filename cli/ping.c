/* ping.c: `errand ping`: how long a call to the service takes, again and again, as ping(8)
 * does it for hosts: errand.v1.Servers/GetServer, over the socket or the gateway. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "cli/backend.h"
#include "cli/figures.h"

struct ping_conf {
	struct cli_common common;
	int64_t count, interval, wait;
	bool quiet;
};

static const struct opt options[] = {
	CLI_COMMON(struct ping_conf),
	{"count", 'c', OPT_INT, offsetof(struct ping_conf, count), "0", 0, INT32_MAX, "N", "calls; 0: until it is interrupted"},
	{"interval", 'i', OPT_TIME, offsetof(struct ping_conf, interval), "1s", NS_PER_MS, 3600 * NS_PER_S, "TIME",
	 "between two calls"},
	{"wait", 'W', OPT_TIME, offsetof(struct ping_conf, wait), "2s", NS_PER_MS, 3600 * NS_PER_S, "TIME",
	 "for one answer"},
	{"quiet", 'q', OPT_FLAG, offsetof(struct ping_conf, quiet), NULL, 0, 0, NULL, "only the summary"},
};

struct ping {
	const struct ping_conf *conf;
	struct backend backend;
	const char *name; /* of the target */
	int64_t n_sent, n_answered;
	double least_ms, most_ms, sum_ms;
	bool connected;
};

static volatile sig_atomic_t stopped;

static void on_signal(int signal)
{
	stopped = 1;
}

/* --- one call --- */

static void count(struct ping *p, double ms)
{
	p->least_ms = p->n_answered == 0 ? ms : MIN(p->least_ms, ms);
	p->most_ms = MAX(p->most_ms, ms);
	p->sum_ms += ms;
	p->n_answered++;
}

static void show_answer(const struct ping *p, const struct errand_reply *reply, double ms)
{
	struct figures_server s;

	figures_server((struct bytes){reply->payload, reply->payload_len}, &s);
	if (p->conf->common.json)
		printf("{\"seq\":%lld,\"ms\":%.3f,\"pid\":%lld,\"version\":\"%s\"}\n", (long long)p->n_sent, ms,
		       (long long)s.pid, s.version);
	else
		printf("answer from %s: seq=%lld pid=%lld time=%.3f ms%s\n", p->name, (long long)p->n_sent,
		       (long long)s.pid, ms, s.draining ? " (stopping)" : "");
}

static void show_failure(const struct ping *p, const char *why)
{
	if (p->conf->common.json)
		printf("{\"seq\":%lld,\"error\":\"%s\"}\n", (long long)p->n_sent, strpbrk(why, "\"\\") == NULL ? why : "failed");
	else
		printf("no answer from %s: seq=%lld %s\n", p->name, (long long)p->n_sent, why);
}

static int ask(struct ping *p, struct errand_reply **replyp)
{
	struct errand_call_options o = {.timeout_ns = p->conf->wait};
	int64_t left = backend_time_left(&p->backend);
	struct buf none = BUF_INIT;

	*replyp = NULL;
	if (left < 0)
		return -ERRAND_DEADLINE_EXCEEDED;
	if (left > 0)
		o.timeout_ns = MIN(o.timeout_ns, left);
	if (!p->connected && backend_retry(&p->backend, o.timeout_ns) < 0)
		return -ERRAND_UNAVAILABLE;
	p->connected = true;
	return backend_ask(&p->backend, "errand.v1.Servers", "GetServer", &none, &o, replyp);
}

/* CLI_OK: go on. */
static int ping_once(struct ping *p)
{
	int64_t begin = clock_mono_ns();
	struct errand_reply *reply;
	int r = ask(p, &reply);
	double ms = (double)(clock_mono_ns() - begin) / (double)NS_PER_MS;

	p->n_sent++;
	if (r == 0 && reply->code == ERRAND_OK) {
		count(p, ms);
		if (!p->conf->quiet)
			show_answer(p, reply, ms);
		r = CLI_OK;
	} else if (r == 0 && (reply->code == ERRAND_UNAUTHENTICATED || reply->code == ERRAND_PERMISSION_DENIED)) {
		r = backend_refused(&p->backend, NULL, reply);
	} else {
		p->connected = r != -ERRAND_UNAVAILABLE;
		if (!p->conf->quiet)
			show_failure(p, r == 0 ? reply->message : r == -ERRAND_DEADLINE_EXCEEDED ? "in time" : backend_error(&p->backend));
		r = CLI_OK;
	}
	errand_reply_free(reply);
	return r == CLI_OK ? cli_flush() : r;
}

/* --- all of them --- */

static void summary_json(const struct ping *p, double mean)
{
	printf("{\"calls\":%lld,\"answered\":%lld", (long long)p->n_sent, (long long)p->n_answered);
	if (p->n_answered > 0)
		printf(",\"min_ms\":%.3f,\"avg_ms\":%.3f,\"max_ms\":%.3f", p->least_ms, mean, p->most_ms);
	printf("}\n");
}

static void summary(const struct ping *p)
{
	double mean = p->sum_ms / (double)MAX(p->n_answered, 1);

	if (p->conf->common.json) {
		summary_json(p, mean);
		return;
	}
	printf("\n--- %s ---\n%lld call%s, %lld answered, %.0f%% lost\n", p->name, (long long)p->n_sent,
	       p->n_sent == 1 ? "" : "s", (long long)p->n_answered,
	       p->n_sent > 0 ? 100.0 * (double)(p->n_sent - p->n_answered) / (double)p->n_sent : 0.0);
	if (p->n_answered > 0)
		printf("round trip min/avg/max = %.3f/%.3f/%.3f ms\n", p->least_ms, mean, p->most_ms);
}

/* Until the next one is due; a signal ends it. */
static void pause_until(int64_t due_ns)
{
	int64_t left;

	while (!stopped && (left = due_ns - clock_mono_ns()) > 0)
		if (nanosleep(&(struct timespec){left / NS_PER_S, left % NS_PER_S}, NULL) == 0)
			return;
}

static int ping(struct ping *p)
{
	int64_t due = clock_mono_ns();
	int r = CLI_OK;

	if (!p->conf->common.json)
		printf("PING %s\n", p->name);
	while (r == CLI_OK && !stopped && backend_time_left(&p->backend) >= 0) {
		r = ping_once(p);
		if (p->conf->count > 0 && p->n_sent >= p->conf->count)
			break;
		due = MAX(due + p->conf->interval, clock_mono_ns());
		pause_until(due);
	}
	if (r != CLI_OK)
		return r;
	summary(p);
	return p->n_answered > 0 ? CLI_OK : CLI_UNREACHABLE;
}

int ping_command(int argc, char **argv)
{
	struct sigaction sa = {.sa_handler = on_signal};
	struct ping_conf conf;
	struct ping p = {.conf = &conf, .connected = true};
	int first = cli_parse(options, ARRAY_LEN(options), &conf, argc, argv, "errand ping [options]"), r;

	if (first != argc) {
		cli_error("ping: takes no operands: --socket, --url or --context names the service");
		return CLI_USAGE;
	}
	r = backend_open(&p.backend, &conf.common);
	if (r != CLI_OK)
		return r;
	p.name = target_name(&p.backend.target);
	sigaction(SIGINT, &sa, NULL);
	r = ping(&p);
	backend_close(&p.backend);
	return r;
}
