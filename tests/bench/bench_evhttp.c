/* bench_evhttp.c: the yardstick Y: bare evhttp on one thread, JSON in, JSON out,
 * nothing judged, nothing limited. What errand-gateway costs is measured beside it.
 * usage: bench_evhttp PORT | unix:PATH (behind another server) */
#define _GNU_SOURCE
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void answer(struct evhttp_request *req, void *arg)
{
	struct evbuffer *in = evhttp_request_get_input_buffer(req), *out = evbuffer_new();
	size_t len = evbuffer_get_length(in);
	const char *text = (const char *)evbuffer_pullup(in, -1);
	bool object = len > 0 && memchr(text, '{', len) != NULL;

	evbuffer_add_printf(out, "{\"ok\":%s,\"bytes\":%zu}", object ? "true" : "false", len);
	evhttp_add_header(evhttp_request_get_output_headers(req), "Content-Type",
			  "application/json");
	evhttp_send_reply(req, 200, "OK", out);
	evbuffer_free(out);
}

static int listen_unix(struct evhttp *http, const char *path)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	snprintf(name.sun_path, sizeof name.sun_path, "%s", path);
	unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof name) < 0 || listen(fd, 1024) < 0)
		return -1;
	return evhttp_accept_socket(http, fd);
}

static int listen_on(struct evhttp *http, const char *where)
{
	if (strncmp(where, "unix:", 5) == 0)
		return listen_unix(http, where + 5);
	return evhttp_bind_socket(http, "127.0.0.1", (ev_uint16_t)atoi(where));
}

int main(int argc, char **argv)
{
	struct event_config *config = event_config_new();
	struct event_base *base;
	struct evhttp *http;

	if (argc != 2) {
		fprintf(stderr, "usage: bench_evhttp PORT | unix:PATH\n");
		return 64;
	}
	signal(SIGPIPE, SIG_IGN);
	event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
	base = event_base_new_with_config(config);
	http = evhttp_new(base);
	evhttp_set_gencb(http, answer, NULL);
	if (listen_on(http, argv[1]) < 0) {
		fprintf(stderr, "bench_evhttp: cannot listen on %s\n", argv[1]);
		return 1;
	}
	return event_base_dispatch(base);
}
