/* exchange.h: one HTTP request's way through the gateway: route, translate, call,
 * translate back, answer. The state of a request between http.c and upstream.c.
 *
 *   exchange_begin ─▶ [health] [route 404/405] [content type 415] [faults 400/422]
 *     ─▶ upstream_call ─▶ reply ─▶ JSON | problem | 202 Task | stream (stream.c)
 */
#ifndef GATEWAY_EXCHANGE_H
#define GATEWAY_EXCHANGE_H

#include "base/list.h"
#include "base/log.h"
#include "base/settings.h"
#include "gateway/http.h"
#include "gateway/listen.h"
#include "gateway/origin.h"
#include "gateway/rate.h"
#include "gateway/tls.h"
#include "gateway/upstream.h"

/* What all threads share and change. */
struct gateway_state {
	_Atomic bool draining;
	_Atomic unsigned n_up; /* threads with a connection to the service */
};

/* The options: immutable; SIGHUP makes another one, which each thread takes between two events. */
struct gateway_config {
	struct gateway_state *state;
	const char *socket, *access_log;
	struct opt_list listen;        /* as given */
	struct listen_set listeners;   /* as read */
	bool insecure_listen;
	struct tls_options tls;
	enum tls_client_auth client_auth;
	const char *schema;    /* file with a descriptor set, for a plain ttrpc server; or NULL */
	const char *docs;      /* directory of Swagger UI, or "off" */
	const char *log_level, *log_format;
	int64_t threads, max_connections, max_head, max_body, max_headers;
	int64_t head_timeout, body_timeout, idle_timeout, write_timeout; /* ns */
	int64_t default_deadline, max_deadline, max_wait; /* ns */
	const char *gzip;  /* as given */
	int64_t gzip_min;  /* bytes of the smallest body that is packed; -1: gzip is off */
	int64_t heartbeat; /* of event streams, ns */
	const char *api_title, *api_version, *public_url; /* of /openapi.json; or NULL */
	int64_t drain_timeout;
	struct opt_list hosts, cors_origins; /* as given */
	struct origin_rules origin;          /* as checked */
	int64_t reconnect_wait; /* requests wait for a service gone no longer than that */
	int64_t ping_interval;  /* after which a silent service is asked whether it lives, ns */
	int64_t ready_fd;  /* gets "PORT\n" when listening; -1 = none */
	const char *tokens, *anonymous; /* who may do what: auth.h */
	struct opt_list certs, peers;
	bool open_docs;
	const char *rate_limit, *auth_failures; /* as given */
	struct rate rate, failures;             /* as read */
	struct opt_list configs;
	bool check, show_config;
	const char *describe;
	enum log_level level;
	enum log_format format;
	struct settings settings; /* where all of it comes from */
	char *socket_address;     /* owned: what socket points to */
};

/* What a loop thread has; one per thread. */
struct gateway_thread {
	struct event_base *base;
	struct http_server *http;
	struct upstream *upstream;
	struct snapshot *snapshot; /* reference to the newest this thread has seen */
	const struct gateway_config *config;
	unsigned index;
	uint64_t n_requests, n_errors;
	struct gzip *gzip;         /* owned */
	struct metrics *metrics;   /* owned */
	struct list streams;       /* of struct stream: event streams under way */
	struct park *park;         /* exchanges that wait for the service */
	struct exchange *spare;    /* exchange.c's pool */
	uint64_t ids[2];           /* request_id.h */
	char trouble[256];         /* what keeps the service from durable work; "" */
};

/* The service is there, or has read what was sent: those that wait for it go on. */
void exchange_resume(struct gateway_thread *t);
/* The gateway stops: those that wait are answered. */
void exchange_wait_no_more(struct gateway_thread *t);

/* With t->base. Before the first request, and after the last one is gone. */
void exchange_thread_init(struct gateway_thread *t);
void exchange_thread_deinit(struct gateway_thread *t);

/* http_ops.request; arg is the struct gateway_thread. */
void exchange_begin(struct http_request *r, void *arg);

#endif
