/* bench_watch.c: many clients of one event stream, each on a connection of its own.
 *
 *   bench_watch PORT PATH CLIENTS
 *
 * Prints "ready" once every client has the stream's first event, then reads until
 * every stream has ended ("event: end"), and prints one line of JSON: how many
 * events came, those a client did not get or got twice, and the milliseconds from
 * the first client's end to the last one's. Event ids count up by one from 1. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

struct client {
	struct load_conn conn;
	unsigned long last; /* id of the last event */
	bool headed, ended;
};

static size_t n_clients, n_with_event, n_ended;
static uint64_t n_events, n_wrong;
static int64_t first_end_ns, last_end_ns;

static void on_id(struct client *c, unsigned long id)
{
	n_events++;
	n_wrong += id != c->last + 1;
	n_with_event += c->last == 0;
	c->last = id;
}

static void on_end(struct client *c)
{
	last_end_ns = load_now_ns();
	if (n_ended++ == 0)
		first_end_ns = last_end_ns;
	c->ended = true;
}

/* Line by line; chunk sizes and comments mean nothing here. */
static size_t on_line(struct load_conn *conn)
{
	struct client *c = (struct client *)conn; /* its first member */
	const char *end = memchr(conn->in, '\n', conn->n_in);

	if (end == NULL)
		return 0;
	if (!c->headed && strncmp(conn->in, "HTTP/1.1 200", 12) != 0) {
		fprintf(stderr, "refused: %.200s\n", conn->in);
		exit(1);
	}
	c->headed = true;
	if (strncmp(conn->in, "id: ", 4) == 0)
		on_id(c, strtoul(conn->in + 4, NULL, 10));
	else if (strncmp(conn->in, "event: end", 10) == 0)
		on_end(c);
	return (size_t)(end + 1 - conn->in);
}

/* Until *n is all of them; a minute is more than any of this takes. */
static void wait_for_all(const size_t *n, const char *what)
{
	int64_t end_ns = load_now_ns() + 60000000000;

	while (*n < n_clients && load_now_ns() < end_ns)
		load_poll(1000000000);
	if (*n == n_clients)
		return;
	fprintf(stderr, "after a minute %zu of %zu clients have %s\n", *n, n_clients, what);
	exit(1);
}

int main(int argc, char **argv)
{
	struct client *clients;
	char request[512];

	if (argc < 4) {
		fprintf(stderr, "usage: bench_watch PORT PATH CLIENTS\n");
		return 64;
	}
	n_clients = (size_t)atoi(argv[3]);
	clients = calloc(n_clients, sizeof *clients);
	snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\n"
		 "Accept: text/event-stream\r\n\r\n", argv[2], argv[1]);
	for (size_t i = 0; i < n_clients; i++) {
		load_connect(&clients[i].conn, atoi(argv[1]), on_line);
		load_send(&clients[i].conn, request, strlen(request));
		if (i % 64 == 63)
			load_poll(0);
	}
	wait_for_all(&n_with_event, "their first event");
	printf("ready\n");
	fflush(stdout);
	wait_for_all(&n_ended, "the end");
	printf("{\"clients\": %zu, \"events\": %llu, \"wrong\": %llu, \"end_ms\": %.1f}\n", n_clients,
	       (unsigned long long)n_events, (unsigned long long)n_wrong,
	       (double)(last_end_ns - first_end_ns) / 1e6);
	return 0;
}
