/* bench_beanstalk.c: producers that put and workers that reserve and delete at once,
 * against beanstalkd; a task is accepted at INSERTED and done at DELETED.
 *
 *   bench_beanstalk PORT PRODUCERS WORKERS SECONDS RATE
 *
 * Ends when all that was put is deleted (WORKERS 0: at once). One line of JSON. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

#define BODY 200 /* bytes of a job; it begins with the time it was due */

static struct load_samples samples;
static struct load_pace pace;
static uint64_t n_put, n_deleted;
static int64_t last_put_ns, last_ns;

static void wrong(const struct load_conn *c)
{
	fprintf(stderr, "beanstalkd said: %.80s\n", c->in);
	exit(1);
}

static size_t line(const struct load_conn *c)
{
	const char *end = strstr(c->in, "\r\n");

	return end == NULL ? 0 : (size_t)(end + 2 - c->in);
}

static size_t on_inserted(struct load_conn *c)
{
	size_t len = line(c);

	if (len == 0)
		return 0;
	if (strncmp(c->in, "INSERTED ", 9) != 0)
		wrong(c);
	n_put++;
	last_put_ns = load_now_ns();
	c->busy = false;
	return len;
}

static void put(struct load_conn *c, int64_t due_ns)
{
	char text[BODY + 64];
	int head = snprintf(text, sizeof text, "put 0 0 60 %d\r\n", BODY);

	memset(text + head, ' ', BODY);
	snprintf(text + head, BODY, "%020" PRId64, due_ns);
	memcpy(text + head + BODY, "\r\n", 2);
	c->busy = true;
	load_send(c, text, (size_t)head + BODY + 2);
}

static void reserve(struct load_conn *c)
{
	load_send(c, "reserve\r\n", 9);
}

static size_t on_worker(struct load_conn *c)
{
	size_t len = line(c), size;
	uint64_t id;
	char text[64];

	if (len == 0)
		return 0;
	if (sscanf(c->in, "RESERVED %" SCNu64 " %zu", &id, &size) == 2) {
		if (c->n_in < len + size + 2)
			return 0;
		c->begun_ns = strtoll(c->in + len, NULL, 10);
		load_send(c, text, (size_t)snprintf(text, sizeof text, "delete %" PRIu64 "\r\n", id));
		return len + size + 2;
	}
	if (strncmp(c->in, "DELETED", 7) != 0)
		wrong(c);
	last_ns = load_now_ns();
	load_sample(&samples, last_ns - c->begun_ns);
	n_deleted++;
	reserve(c);
	return len;
}

static void run(struct load_conn *producers, size_t n, bool work)
{
	size_t n_busy;

	do {
		int64_t now = load_now_ns(), due;

		n_busy = 0;
		for (size_t i = 0; i < n; i++) {
			if (!producers[i].busy && load_pace_take(&pace, now, &due))
				put(&producers[i], due);
			n_busy += producers[i].busy;
		}
		load_poll(load_pace_over(&pace, now) ? 1000000000 :
			  load_pace_wait(&pace, now, n_busy < n));
	} while (n_busy > 0 || !load_pace_over(&pace, load_now_ns()) || (work && n_deleted < n_put));
}

int main(int argc, char **argv)
{
	struct load_conn *conns;
	size_t n, n_workers;

	if (argc < 6) {
		fprintf(stderr, "usage: bench_beanstalk PORT PRODUCERS WORKERS SECONDS RATE\n");
		return 64;
	}
	n = (size_t)atoi(argv[2]);
	n_workers = (size_t)atoi(argv[3]);
	conns = calloc(n + n_workers, sizeof *conns);
	for (size_t i = 0; i < n + n_workers; i++)
		load_connect(&conns[i], atoi(argv[1]), i < n ? on_inserted : on_worker);
	for (size_t i = n; i < n + n_workers; i++)
		reserve(&conns[i]);
	load_pace_begin(&pace, atof(argv[4]), atof(argv[5]));
	run(conns, n, n_workers > 0);
	printf("{\"rate\": %.1f, \"n\": %llu, \"done_rate\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f}\n",
	       (double)n_put * 1e9 / (double)(last_put_ns - pace.begin_ns), (unsigned long long)n_put,
	       n_deleted ? (double)n_deleted * 1e9 / (double)(last_ns - pace.begin_ns) : 0,
	       load_percentile_us(&samples, 50), load_percentile_us(&samples, 99));
	return 0;
}
