/* errand-gateway: options, sockets, one worker per thread, signals.
 *
 * The main thread only waits for signals: SIGTERM or SIGINT drains, a second one
 * ends at once; SIGHUP opens the access log again and reads --schema again. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/notify.h"
#include "gateway/access.h"
#include "gateway/auth.h"
#include "gateway/schema_file.h"
#include "gateway/docs.h"
#include "gateway/options.h"
#include "gateway/snapshot.h"
#include "gateway/supervise.h"
#include "gateway/worker.h"

enum { EXIT_CONFIG = 78 };

struct gateway {
	struct gateway_config config;   /* of the start */
	struct gateway_config *current; /* the newest: that, or owned */
	struct gateway_config *former;  /* until all threads have left it; owned */
	struct gateway_state state;
	int argc;
	char **argv;
	struct worker *workers[GATEWAY_THREADS_MAX];
	size_t n_workers;
	struct supervise supervise;
	struct tls *tls; /* NULL: no listener has it */
	bool had_no_certs; /* not all connections, now or before, had to have a client certificate */
};

/* A directory that was asked for should have what it is for. */
static void open_docs(const char *dir)
{
	char why[256];

	if (docs_open(dir, why, sizeof why) != 0 && strcmp(dir, GATEWAY_DOCS_DIR) != 0)
		log_warn("--docs lacks Swagger UI: /docs is the built-in page", "dir=%s why=\"%s\"", dir, why);
}

/* --- sockets --- */

static int complain_listen(const char *why)
{
	AUTO_BUF quoted = BUF_INIT;

	log_quote(&quoted, why, strlen(why));
	log_error("cannot listen", "why=%s", buf_cstr(&quoted));
	return EXIT_FAILURE;
}

/* All of the listeners, for one thread. */
static int worker_listen_all(struct gateway *g, unsigned index)
{
	struct listen_set *set = &g->config.listeners;
	char why[512];

	for (size_t i = 0; i < set->n; i++) {
		struct listener *l = &set->items[i];
		int fd = listen_take(l, index, (unsigned)g->config.threads, why, sizeof why);

		if (fd < 0)
			return complain_listen(why);
		if (worker_listen(g->workers[index], fd, l->tls ? g->tls : NULL) < 0)
			return complain_listen(l->text);
	}
	return 0;
}

/* May others reach what is open, by this configuration? That of a reload has other listeners, which are not there. */
static int may_listen(const struct gateway *g, const struct gateway_config *c, char *why, size_t size)
{
	bool has_certs = c->client_auth == TLS_CLIENT_REQUIRED && !g->had_no_certs;

	return g->config.insecure_listen ? 0 : listen_check(&g->config.listeners, c->tokens != NULL, has_certs, why, size);
}

static int gateway_open(struct gateway *g)
{
	char why[1024];

	g->had_no_certs = g->config.client_auth != TLS_CLIENT_REQUIRED;
	if (listen_has_tls(&g->config.listeners)) {
		g->tls = tls_new(&g->config.tls, why, sizeof why);
		if (g->tls == NULL) {
			fprintf(stderr, "errand-gateway: %s\n", why);
			return EXIT_CONFIG;
		}
	}
	if (listen_open(&g->config.listeners, (unsigned)g->config.threads, why, sizeof why) < 0 ||
	    may_listen(g, &g->config, why, sizeof why) < 0)
		return complain_listen(why);
	return 0;
}

static int gateway_workers(struct gateway *g)
{
	int r = gateway_open(g);

	for (unsigned i = 0; r == 0 && i < g->config.threads; i++) {
		struct worker *w = worker_new(&g->config, i);

		if (w == NULL)
			return EXIT_FAILURE;
		g->workers[g->n_workers++] = w;
		r = worker_listen_all(g, i);
	}
	for (size_t i = 0; r == 0 && i < g->n_workers; i++) {
		r = worker_start(g->workers[i]);
		if (r < 0) {
			log_error("cannot start a thread", "why=\"%s\"", strerror(-r));
			return EXIT_FAILURE;
		}
	}
	return r;
}

static void gateway_tell_ready(struct gateway *g)
{
	const struct listen_set *set = &g->config.listeners;
	int fd = (int)g->config.ready_fd;

	g->supervise = (struct supervise){g->workers, g->n_workers, &g->state, 0};
	for (size_t i = 0; i < set->n; i++)
		log_info("listening", "address=%s%s threads=%zu socket=%s", set->items[i].tls ? "tls:" : "",
			 set->items[i].name, g->n_workers, g->config.socket);
	supervise_start(&g->supervise);
	if (fd < 0)
		return;
	if (dprintf(fd, "%s\n", listen_ready(set)) < 0)
		log_warn("cannot write to --ready-fd", "fd=%d why=\"%s\"", fd, strerror(errno));
	if (fd > STDERR_FILENO)
		close(fd);
}

/* --- signals --- */

static void signals_block(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, set, NULL); /* before there are threads */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGUSR1, SIG_IGN); /* they mean nothing; the default would end us */
	signal(SIGUSR2, SIG_IGN);
}

static void config_free(struct gateway *g, struct gateway_config *c)
{
	if (c == NULL || c == &g->config)
		return;
	gateway_options_deinit(c);
	free(c);
}

static bool all_have_reloaded(const struct gateway *g)
{
	for (size_t i = 0; i < g->n_workers; i++)
		if (!worker_has_reloaded(g->workers[i]))
			return false;
	return true;
}

/* The settings anew. A thread that has not taken the last ones yet is not given others. */
static void reload_settings(struct gateway *g)
{
	struct gateway_config *next;
	char why[1024];

	if (!all_have_reloaded(g)) {
		log_warn("SIGHUP: a thread is busy with the last one, send it again", NULL);
		return;
	}
	next = gateway_options_reload(g->current, g->argc, g->argv);
	if (next == NULL)
		return;
	if (may_listen(g, next, why, sizeof why) < 0) {
		log_error("the configuration cannot be used before a restart, the former one stays", "reason=\"%s\"", why);
		config_free(g, next);
		return;
	}
	if (auth_load(next, why, sizeof why) < 0) { /* not by halves: it may rely on what it lacks */
		log_error("the configuration cannot be used, the former one stays", "reason=\"%s\"", why);
		config_free(g, next);
		return;
	}
	g->had_no_certs |= next->client_auth != TLS_CLIENT_REQUIRED;
	config_free(g, g->former);
	g->former = g->current;
	g->current = next;
	log_init("errand-gateway", next->level);
	log_format_set(next->format);
	for (size_t i = 0; i < g->n_workers; i++)
		worker_reload(g->workers[i], next);
}

/* SIGHUP: the access log, the settings, certificates and --schema anew. What cannot be used stays as it was. */
static void reload(struct gateway *g)
{
	char why[512];

	log_info("SIGHUP: reloading", NULL);
	notify_reloading();
	if (access_reopen(why, sizeof why) < 0)
		log_error("access log not opened again", "why=\"%s\"", why);
	reload_settings(g);
	tls_reload(g->tls, &g->current->tls);
	if (g->config.schema != NULL)
		schema_file_load(g->config.schema); /* says itself what is wrong */
	notify_ready();
}

static void wait_for_stop(struct gateway *g, const sigset_t *set)
{
	int signal;

	do {
		signal = supervise_wait(&g->supervise, set);
		if (signal == SIGHUP)
			reload(g);
	} while (signal != SIGTERM && signal != SIGINT);
}

/* Ends all workers at the next SIGTERM or SIGINT, while main joins them. */
static void *second_signal(void *arg)
{
	struct gateway *g = arg;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	wait_for_stop(g, &set);
	log_info("stopping at once", NULL);
	for (size_t i = 0; i < g->n_workers; i++)
		worker_stop(g->workers[i]);
	return NULL;
}

static void gateway_run(struct gateway *g, const sigset_t *set)
{
	pthread_t watcher;
	bool watching;

	wait_for_stop(g, set);
	log_info("stopping", "drain_timeout_s=%lld", (long long)(g->current->drain_timeout / 1000000000));
	notify_stopping();
	atomic_store(&g->state.draining, true);
	for (size_t i = 0; i < g->n_workers; i++)
		worker_drain(g->workers[i]);
	watching = pthread_create(&watcher, NULL, second_signal, g) == 0;
	for (size_t i = 0; i < g->n_workers; i++)
		worker_join(g->workers[i]);
	if (watching) {
		pthread_cancel(watcher); /* sigwaitinfo is a cancellation point */
		pthread_join(watcher, NULL);
	}
}

static void gateway_free(struct gateway *g)
{
	for (size_t i = 0; i < g->n_workers; i++) {
		worker_stop(g->workers[i]);
		worker_join(g->workers[i]);
		worker_free(g->workers[i]);
	}
	tls_free(g->tls);
	snapshot_deinit();
	access_close();
	auth_deinit();
	docs_close();
	config_free(g, g->former);
	config_free(g, g->current);
	gateway_options_deinit(&g->config);
}

/* Exit status. */
static int gateway_start(struct gateway *g)
{
	char why[512];

	if (g->config.schema != NULL && schema_file_load(g->config.schema) < 0)
		return EXIT_CONFIG;
	if (auth_load(&g->config, why, sizeof why) < 0 ||
	    access_open(g->config.access_log, why, sizeof why) < 0) {
		fprintf(stderr, "errand-gateway: %s\n", why);
		return EXIT_CONFIG;
	}
	open_docs(g->config.docs);
	return gateway_workers(g);
}

int main(int argc, char **argv)
{
	static struct gateway g; /* zero; also in reach of the sanitizers at exit */
	sigset_t signals;
	int r;

	g.argc = argc;
	g.argv = argv;
	g.current = &g.config;
	buf_failures_are_fatal(); /* an answer is sent whole or not at all */
	log_init("errand-gateway", LOG_LEVEL_INFO);
	log_format_set(LOG_AUTO);
	r = gateway_options_read(&g.config, argc, argv);
	g.config.state = &g.state;
	if (r == 0 && !gateway_options_show(&g.config, &r)) {
		log_init("errand-gateway", g.config.level);
		log_format_set(g.config.format);
		signals_block(&signals);
		r = gateway_start(&g);
		if (r == 0) {
			gateway_tell_ready(&g);
			gateway_run(&g, &signals);
		}
	}
	gateway_free(&g);
	return r;
}
