/* peer.h: a small ttrpc server on conn, for the client's tests and for other
 * languages' clients: service test.v1.Peer with the methods below.
 *
 *   Echo      the payload back
 *   Fail      NOT_FOUND "no such thing", with details "PROBLEM"
 *   Silent    no answer, ever
 *   Cancelled how many calls of this connection were cancelled, as text
 *   Count     payload "N SIZE": N messages of SIZE bytes, within the window
 *   Task      what errand-task said; "errand-message: errand.v1.Task" with it
 *   Show      the timeout and the metadata of the request, as text
 *   Ping      pings the client first, answers when it has answered
 *   Goaway    GOAWAY, then the answer
 *   Die       closes the connection
 *   Garbage   bytes that are no frame */
#ifndef TESTS_WIRE_PEER_H
#define TESTS_WIRE_PEER_H

#include <stdbool.h>

/* Serves one connected socket until it ends; closes it. Any thread. */
void peer_serve(int fd);
/* The same for a server that knows unary calls and nothing else: it answers
 * every method but Hello with the payload it got. */
void peer_serve_plain(int fd);
/* Binds path and listens; -1 on failure. */
int peer_listen(const char *path);

#endif
