/* edge.h: a real http_server on a loopback port in a thread of its own, with a
 * handler that shows what it got, and raw sockets to speak to it. Waiting is
 * always for an event; every wait has a limit of WAIT_S and fails the test.
 *
 *   /echo   the body back          /show   verb, path and query
 *   /hold   no answer until edge_answer; /stream?N a stream of N bytes
 *   /open   a stream with one chunk, ended by edge_answer
 *   /big?N  N bytes at once        /status?N  that status
 *   /headers  clean and dirty headers
 */
#ifndef TESTS_EDGE_H
#define TESTS_EDGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "gateway/http.h"

enum { WAIT_S = 10 };

struct edge;

/* What happened, in order of happening; wait for a number with edge_wait. */
enum edge_count {
	EDGE_REQUESTS, EDGE_SMUGGLED, EDGE_HELD, EDGE_GONE, EDGE_DONE, EDGE_REFUSED, EDGE_FULL,
	EDGE_DRAINED, EDGE_COUNTS
};

extern bool edge_keep_access; /* false: the access log is off */
struct http_limits edge_limits(void); /* generous ones, to be changed */
struct edge *edge_start(const struct http_limits *limits);
struct edge *edge_stop(struct edge *e);
/* Without a thread: serves fd until the process is killed. */
void edge_serve(int fd, const struct http_limits *limits);
int edge_listen(int *portp);

/* Blocks until the counter is at least n. */
void edge_wait(struct edge *e, enum edge_count which, long n);
long edge_get(struct edge *e, enum edge_count which);
void edge_answer(struct edge *e); /* all held requests and open streams */
void edge_poke(struct edge *e);   /* one byte into each open stream */
void edge_drain(struct edge *e);
void edge_wait_conns(struct edge *e, size_t n); /* until that many are open */
/* Of the last finished answer and the last refusal. */
int edge_status(struct edge *e);
size_t edge_sent(struct edge *e);
size_t edge_streamed(struct edge *e); /* bytes the stream handler has written */

/* CPU time of this process; and: the loop waits instead of turning. */
int64_t edge_cpu_ns(void);
void edge_check_at_rest(void);

/* --- raw clients --- */
int edge_connect(struct edge *e);
int edge_connect_port(int port);
bool edge_refuses(struct edge *e); /* nobody listens any more */
void put(int fd, const char *text);
void put_bytes(int fd, const void *data, size_t len);
/* One whole answer (by Content-Length, chunks decoded, or to EOF), head and body.
 * The status, or 0 when the connection ended before. no_body: of a HEAD. */
struct answer {
	int status;
	struct buf head, body;
	bool chunked, close;
};
#define AUTO_ANSWER __attribute__((cleanup(answer_deinit))) struct answer
void answer_deinit(struct answer *a);
void answer_read(int fd, struct answer *a, bool no_body);
/* In the head, "Name: value" with its line end. */
bool answer_has(const struct answer *a, const char *line);
/* Sends text on a new connection, reads one answer. */
void ask(struct edge *e, const char *text, struct answer *a);
void expect_eof(int fd);
void read_all(int fd, struct buf *out); /* to the end */

#endif
