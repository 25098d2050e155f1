/* access.h: one JSON line per request, whoever answered it. Where it goes is one
 * setting of the process: stderr, stdout (`-`), a file, or nowhere (`off`). A sink
 * that is full or blocked never blocks a loop: the line is dropped (log_dropped).
 *
 * {"time":"...","request_id":"...","peer":"127.0.0.1:51234","method":"GET",
 *  "path":"/items/1","route":"/items/{item_id}","status":200,"bytes":63,
 *  "duration_us":1210,"upstream_us":1015,"client":"token:ci",
 *  "trace_id":"...","task":"..."}
 *
 * `peer` of a UNIX socket is "unix:uid=1000,pid=4711"; `cert` is the name in a client's
 * certificate. A member that is not known is left out. The query is never logged: it may hold
 * what is nobody's business. */
#ifndef GATEWAY_ACCESS_H
#define GATEWAY_ACCESS_H

#include "gateway/http.h"

/* Before the threads start. where: NULL or "" = stderr, "-", "off", or a file's
 * path (opened for appending). 0, or -errno with the reason in why. */
int access_open(const char *where, char *why, size_t why_size);
/* Opens a file again by its path (after log rotation). Only from one thread. */
int access_reopen(char *why, size_t why_size);
void access_close(void);

/* What http.h does not know of a request; all borrowed, all may be NULL or 0. */
struct access_extra {
	const char *request_id, *route, *traceparent, *client, *task;
	int64_t upstream_ns; /* < 0: never asked */
};

/* From http_on_done. Any thread. */
void access_write(const struct http_request *r, const struct access_extra *x, int status,
		  size_t bytes);
/* http_ops.refused; arg is not used. A refused request has no method and no path. */
void access_refused(const char *peer, int status, const char *why, void *arg);

#endif
