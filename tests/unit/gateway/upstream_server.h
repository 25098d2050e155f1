/* upstream_server.h: a service for the tests of the upstream, around wire/conn.h, in the same loop. It answers
 * Echo, fails Fail, sends messages for Stream, and keeps silent for others; what it shall do otherwise is a
 * member. */
#ifndef TESTS_UNIT_GATEWAY_UPSTREAM_SERVER_H
#define TESTS_UNIT_GATEWAY_UPSTREAM_SERVER_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>

#include "wire/conn.h"

struct server {
	struct event_base *base;
	char dir[64], path[96];
	int listener, fd;       /* fd: the one connection; -1 */
	struct conn *conn;
	struct event *accepting, *reading;
	struct conn_stream *silent; /* the last call that is not answered */
	unsigned n_frames;      /* when plain */
	unsigned n_calls, n_cancelled, n_accepted, n_schema;
	struct conn_stream *watch; /* of the schema; NULL */
	bool no_watch;          /* an older one */
	bool no_schema;         /* Get fails */
	size_t to_send;         /* messages of a Stream call that wait for credit */
	struct conn_stream *stream;
	bool plain;             /* knows no Hello */
	bool mute;              /* takes connections, says nothing */
};

/* base, fd = -1 and path are set before. */
void server_listen(struct server *s);
void server_stop(struct server *s);
/* Ends its connection. */
void server_hang_up(struct server *s);
/* Sends what is queued. */
void server_write(struct server *s);
void server_respond(struct conn *c, struct conn_stream *st, int code, struct bytes payload);
struct bytes server_text(const char *s);

#endif
