/* load.h: what the load generators share: connections in one epoll, samples of
 * latency, and due times. One thread; a generator that fails says why and exits. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int64_t load_now_ns(void);
void load_die(const char *what); /* with errno's words */

/* --- connections --- */

struct load_conn {
	int fd;
	/* Called when there are bytes: conn->in holds all that were not taken yet. It
	 * returns how many it took. */
	size_t (*on_input)(struct load_conn *c);
	char *in;            /* NUL-terminated */
	size_t n_in, cap_in;
	bool busy;           /* a request is under way */
	int64_t begun_ns;    /* when that was due */
};

/* To 127.0.0.1:PORT, watched for input. */
void load_connect(struct load_conn *c, int port, size_t (*on_input)(struct load_conn *));
void load_close(struct load_conn *c);
/* All of it, or exit: requests are smaller than a socket's buffer. */
void load_send(struct load_conn *c, const void *data, size_t len);
/* Input of at most timeout_ns from now; calls on_input. */
void load_poll(int64_t timeout_ns);

/* --- samples --- */

struct load_samples {
	int64_t *ns;
	size_t n, cap;
};
void load_sample(struct load_samples *s, int64_t ns);
double load_percentile_us(struct load_samples *s, double p); /* sorts */

/* --- when requests are due --- */

/* RATE 0: as soon as a connection is free (closed loop). Otherwise one each 1/RATE
 * seconds, and what could not be sent in time is late from its due time on. */
struct load_pace {
	int64_t begin_ns, end_ns, next_ns, step_ns;
};
void load_pace_begin(struct load_pace *p, double seconds, double rate);
bool load_pace_over(const struct load_pace *p, int64_t now_ns);
/* True: one is due, since *due_ns. */
bool load_pace_take(struct load_pace *p, int64_t now_ns, int64_t *due_ns);
/* How long to wait for input at most. */
int64_t load_pace_wait(const struct load_pace *p, int64_t now_ns, bool any_free);

#endif
