/* bench_http.c: POSTs one small JSON body over some connections, as fast as they are
 * answered or at a rate, and says how long the answers took.
 *
 *   bench_http PORT PATH CONNECTIONS SECONDS RATE [HEADER: VALUE]
 *
 * At a rate, an answer's time counts from when its request was due, so a server
 * that stalls cannot hide it. Prints one line of JSON. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

static struct load_samples samples;
static struct load_pace pace;
static uint64_t n_ok, n_errors;
static int64_t last_ns;

/* One whole answer, or 0. */
static size_t on_answer(struct load_conn *c)
{
	const char *end = strstr(c->in, "\r\n\r\n");
	const char *length = strcasestr(c->in, "\r\ncontent-length:");
	size_t whole;

	if (end == NULL)
		return 0;
	whole = (size_t)(end + 4 - c->in);
	if (length != NULL && length < end)
		whole += strtoul(length + 17, NULL, 10);
	if (whole > c->n_in)
		return 0;
	last_ns = load_now_ns();
	load_sample(&samples, last_ns - c->begun_ns);
	if (c->in[9] == '2')
		n_ok++;
	else
		n_errors++;
	c->busy = false;
	return whole;
}

static void run(struct load_conn *conns, size_t n, const char *request)
{
	size_t len = strlen(request), n_busy;

	do {
		int64_t now = load_now_ns(), due;

		n_busy = 0;
		for (size_t i = 0; i < n; i++) {
			if (!conns[i].busy && load_pace_take(&pace, now, &due)) {
				conns[i].busy = true;
				conns[i].begun_ns = due;
				load_send(&conns[i], request, len);
			}
			n_busy += conns[i].busy;
		}
		load_poll(n_busy > 0 && load_pace_over(&pace, now) ? 1000000000 :
			  load_pace_wait(&pace, now, n_busy < n));
	} while (n_busy > 0 || !load_pace_over(&pace, load_now_ns()));
}

int main(int argc, char **argv)
{
	static const char body[] = "{\"text\":\"hello, world\",\"number\":42}";
	struct load_conn *conns;
	char request[1024];
	size_t n;

	if (argc < 6) {
		fprintf(stderr, "usage: bench_http PORT PATH CONNECTIONS SECONDS RATE [HEADER: VALUE]\n");
		return 64;
	}
	n = (size_t)atoi(argv[3]);
	conns = calloc(n, sizeof *conns);
	snprintf(request, sizeof request, "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\n"
		 "Content-Type: application/json\r\nContent-Length: %zu\r\n%s%s\r\n%s", argv[2], argv[1],
		 sizeof body - 1, argc > 6 ? argv[6] : "", argc > 6 ? "\r\n" : "", body);
	for (size_t i = 0; i < n; i++)
		load_connect(&conns[i], atoi(argv[1]), on_answer);
	load_pace_begin(&pace, atof(argv[4]), atof(argv[5]));
	run(conns, n, request);
	printf("{\"rate\": %.1f, \"n\": %llu, \"errors\": %llu, \"p50_us\": %.1f, \"p99_us\": %.1f}\n",
	       (double)n_ok * 1e9 / (double)(last_ns - pace.begin_ns), (unsigned long long)n_ok,
	       (unsigned long long)n_errors, load_percentile_us(&samples, 50),
	       load_percentile_us(&samples, 99));
	return 0;
}
