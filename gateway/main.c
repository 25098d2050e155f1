/* errand-gateway: options, sockets, one worker per thread, signals.
 *
 * The main thread only waits for signals: SIGTERM or SIGINT drains, a second one
 * ends at once; SIGHUP opens the access log again and reads --schema again. */
#define _GNU_SOURCE
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/log.h"
#include "base/opt.h"
#include "base/sock.h"
#include "gateway/access.h"
#include "gateway/schema_file.h"
#include "gateway/openapi.h"
#include "gateway/docs.h"
#include "gateway/snapshot.h"
#include "gateway/worker.h"

enum { EXIT_USAGE = 64, EXIT_CONFIG = 78, THREADS_MAX = 16 };

#define DOCS_DIR PKGDATADIR "/docs"
#define HOUR (3600LL * 1000000000)
#define AT(member) offsetof(struct gateway_config, member)

/* Every option, its default and its range; man/errand-gateway.8 tells more. */
static const struct opt options[] = {
	{"listen", 'l', OPT_STRING, AT(listen), "127.0.0.1:8080", 0, 0, "ADDRESS",
	 "HOST:PORT to serve HTTP on; port 0 picks a free one"},
	{"socket", 's', OPT_STRING, AT(socket), RUNDIR "/errand/service.sock", 0, 0, "PATH",
	 "UNIX socket of the service"},
	{"schema", 0, OPT_STRING, AT(schema), NULL, 0, 0, "FILE",
	 "descriptor set of a plain ttrpc server"},
	{"threads", 't', OPT_INT, AT(threads), "0", 0, THREADS_MAX, "N",
	 "event loops; 0: one per processor"},
	{"host", 0, OPT_LIST, AT(hosts), NULL, 0, 0, "NAMES",
	 "names this server answers to; on loopback this machine's, else any"},
	{"cors-origin", 0, OPT_LIST, AT(cors_origins), NULL, 0, 0, "ORIGINS",
	 "pages of other origins that may use the gateway; * is any"},
	{"gzip", 0, OPT_STRING, AT(gzip), "1K", 0, 0, "MINSIZE",
	 "smallest answer that is packed; off: none, and no packed request"},
	{"max-connections", 0, OPT_INT, AT(max_connections), "10000", 1, 1000000, "N",
	 "HTTP connections at once"},
	{"max-head", 0, OPT_SIZE, AT(max_head), "64K", 1024, 16 << 20, "SIZE",
	 "request line and headers"},
	{"max-headers", 0, OPT_INT, AT(max_headers), "100", 1, 10000, "N", "header lines of a request"},
	{"max-body", 0, OPT_SIZE, AT(max_body), "4M", 0, 64 << 20, "SIZE", "body of a request"},
	{"head-timeout", 0, OPT_TIME, AT(head_timeout), "10s", 1, HOUR, "TIME",
	 "from a request's first byte to the end of its headers"},
	{"body-timeout", 0, OPT_TIME, AT(body_timeout), "30s", 1, HOUR, "TIME",
	 "from there to the end of its body"},
	{"idle-timeout", 0, OPT_TIME, AT(idle_timeout), "75s", 1, 24 * HOUR, "TIME",
	 "between the requests of a connection"},
	{"write-timeout", 0, OPT_TIME, AT(write_timeout), "30s", 1, HOUR, "TIME",
	 "without progress in sending an answer"},
	{"default-deadline", 0, OPT_TIME, AT(default_deadline), "30s", 1, HOUR, "TIME",
	 "of a call whose client sets none"},
	{"max-deadline", 0, OPT_TIME, AT(max_deadline), "30s", 1, 24 * HOUR, "TIME",
	 "what a client may set"},
	{"max-wait", 0, OPT_TIME, AT(max_wait), "60s", 0, HOUR, "TIME",
	 "of Prefer: wait=N"},
	{"heartbeat", 0, OPT_TIME, AT(heartbeat), "15s", 1000000, HOUR, "TIME",
	 "between comments on a silent event stream"},
	{"reconnect-wait", 0, OPT_TIME, AT(reconnect_wait), "2s", 0, 5LL * 60 * 1000000000, "TIME",
	 "requests wait for a service that has just gone; 0: 503 at once"},
	{"ping-interval", 0, OPT_TIME, AT(ping_interval), "5s", 1000000, HOUR, "TIME",
	 "a silent service is asked whether it lives, and has as long to answer"},
	{"drain-timeout", 0, OPT_TIME, AT(drain_timeout), "30s", 0, HOUR, "TIME",
	 "for requests under way when stopping"},
	{"access-log", 0, OPT_STRING, AT(access_log), "-", 0, 0, "FILE",
	 "one JSON line per request; - is stdout, off is none"},
	{"api-title", 0, OPT_STRING, AT(api_title), NULL, 0, 0, "TEXT",
	 "title of /openapi.json; default: the packages"},
	{"api-version", 0, OPT_STRING, AT(api_version), NULL, 0, 0, "TEXT",
	 "its version; default: the package's v1"},
	{"public-url", 0, OPT_STRING, AT(public_url), NULL, 0, 0, "URL",
	 "its server; default: where it is read from"},
	{"docs", 0, OPT_STRING, AT(docs), DOCS_DIR, 0, 0, "DIR",
	 "Swagger UI's files for /docs; off is no /docs"},
	{"log-level", 0, OPT_STRING, AT(log_level), "info", 0, 0, "LEVEL",
	 "error, warn, info or debug"},
	{"ready-fd", 0, OPT_INT, AT(ready_fd), "-1", -1, 1 << 20, "FD",
	 "gets PORT and a newline when listening"},
};

struct gateway {
	struct gateway_config config;
	struct worker *workers[THREADS_MAX];
	size_t n_workers;
	char address[128]; /* as bound */
};

/* --- configuration --- */

static int64_t online_processors(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : MIN(n, THREADS_MAX);
}

/* --gzip MINSIZE | on | off */
static bool config_gzip(struct gateway_config *c)
{
	c->gzip_min = strcmp(c->gzip, "off") == 0 ? -1 : 1024;
	return c->gzip_min < 0 || strcmp(c->gzip, "on") == 0 || opt_size(c->gzip, &c->gzip_min);
}

/* 0, or the exit status, after having said what is wrong. */
static int config_finish(struct gateway_config *c)
{
	static char socket_address[sizeof "unix:" + sizeof ((struct sockaddr_un *)0)->sun_path];
	const size_t max = sizeof ((struct sockaddr_un *)0)->sun_path - 1;
	const char *path;
	int level = log_level_by_name(c->log_level);

	if (level < 0) {
		fprintf(stderr, "errand-gateway: --log-level %s: use error, warn, info or debug\n",
			c->log_level);
		return EXIT_USAGE;
	}
	log_init("errand-gateway", (enum log_level)level);
	if (c->public_url != NULL && !openapi_url_good(c->public_url)) {
		fprintf(stderr, "errand-gateway: --public-url %.200s: use http://HOST or https://HOST/PATH, "
			"without a slash at the end\n", c->public_url);
		return EXIT_USAGE;
	}
	if (!config_gzip(c)) {
		fprintf(stderr, "errand-gateway: --gzip %s: give a size, as 1K, or on, or off\n", c->gzip);
		return EXIT_USAGE;
	}
	path = strncmp(c->socket, "unix:", 5) == 0 ? c->socket + 5 : c->socket;
	if (strlen(path) > max || *path == '\0') {
		fprintf(stderr, "errand-gateway: --socket %.40s%s: a socket's path has 1 to %zu bytes, "
			"this has %zu\n", path, strlen(path) > 40 ? "..." : "",
			max, strlen(path));
		return EXIT_USAGE;
	}
	snprintf(socket_address, sizeof socket_address, "unix:%s", path);
	c->socket = socket_address; /* never HOST:PORT, even without a slash */
	if (c->threads == 0)
		c->threads = online_processors();
	c->default_deadline = MIN(c->default_deadline, c->max_deadline);
	if (event_get_version_number() < 0x02010c00)
		log_warn("libevent is older than 2.1.12: its HTTP parser has known holes", "version=%s",
			 event_get_version());
	return 0;
}

/* A directory that was asked for should have what it is for. */
static void open_docs(const char *dir)
{
	char why[256];

	if (docs_open(dir, why, sizeof why) != 0 && strcmp(dir, DOCS_DIR) != 0)
		log_warn("--docs lacks Swagger UI: /docs is the built-in page", "dir=%s why=\"%s\"", dir, why);
}

/* --- sockets --- */

static void complain_listen(const struct gateway *g, const char *why)
{
	AUTO_BUF quoted = BUF_INIT;

	log_quote(&quoted, why, strlen(why));
	log_error("cannot listen", "address=%s why=%s", g->config.listen, buf_cstr(&quoted));
}

/* One thread's listening socket. With several threads each has its own on the same
 * port; the first one is made alone, so that a port somebody else shares is seen. */
static int gateway_listen(struct gateway *g, unsigned index)
{
	bool shared = g->config.threads > 1;
	const char *address = index == 0 ? g->config.listen : g->address;
	char why[SOCK_WHY] = "";
	int fd = -1;

	if (index == 0) {
		fd = sock_listen_tcp(address, false, why);
		if (fd >= 0)
			sock_name(fd, g->address, sizeof g->address);
		if (fd >= 0 && shared) {
			close(fd);
			fd = -1;
		} else if (fd < 0) {
			shared = false;
		}
		address = g->address;
	}
	if (fd < 0 && shared)
		fd = sock_listen_tcp(address, true, why);
	if (fd < 0)
		complain_listen(g, why);
	return fd;
}

static int gateway_workers(struct gateway *g)
{
	for (unsigned i = 0; i < g->config.threads; i++) {
		int fd = gateway_listen(g, i);
		struct worker *w = fd < 0 ? NULL : worker_new(&g->config, i, fd);

		if (w == NULL)
			return EXIT_FAILURE;
		g->workers[g->n_workers++] = w;
	}
	for (size_t i = 0; i < g->n_workers; i++) {
		int r = worker_start(g->workers[i]);

		if (r < 0) {
			log_error("cannot start a thread", "why=\"%s\"", strerror(-r));
			return EXIT_FAILURE;
		}
	}
	return 0;
}

static void gateway_tell_ready(const struct gateway *g)
{
	const char *colon = strrchr(g->address, ':');
	int fd = (int)g->config.ready_fd;

	log_info("listening", "address=%s threads=%zu socket=%s", g->address, g->n_workers, g->config.socket);
	if (fd < 0 || colon == NULL)
		return;
	if (dprintf(fd, "%s\n", colon + 1) < 0)
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

/* SIGHUP: the access log and --schema anew. What cannot be used stays as it was. */
static void reload(const struct gateway_config *c)
{
	char why[512];

	if (access_reopen(why, sizeof why) < 0)
		log_error("access log not opened again", "why=\"%s\"", why);
	if (c->schema != NULL)
		schema_file_load(c->schema); /* says itself what is wrong */
}

static void wait_for_stop(const struct gateway_config *c, const sigset_t *set)
{
	int signal;

	do {
		signal = sigwaitinfo(set, NULL);
		if (signal == SIGHUP)
			reload(c);
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
	wait_for_stop(&g->config, &set);
	log_info("stopping at once", NULL);
	for (size_t i = 0; i < g->n_workers; i++)
		worker_stop(g->workers[i]);
	return NULL;
}

static void gateway_run(struct gateway *g, const sigset_t *set)
{
	pthread_t watcher;
	bool watching;

	wait_for_stop(&g->config, set);
	log_info("stopping", "drain_timeout_s=%lld", (long long)(g->config.drain_timeout / 1000000000));
	atomic_store(&g->config.draining, true);
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
	snapshot_deinit();
	access_close();
	docs_close();
}

int main(int argc, char **argv)
{
	static struct gateway g; /* zero; also in reach of the sanitizers at exit */
	char why[512];
	sigset_t signals;
	int first = opt_parse(options, ARRAY_LEN(options), &g.config, argc, argv,
			      "errand-gateway [options]");
	int r;

	if (first < 0)
		return EXIT_USAGE;
	if (first < argc) {
		fprintf(stderr, "errand-gateway: %s: takes options only, see --help\n", argv[first]);
		return EXIT_USAGE;
	}
	r = config_finish(&g.config);
	if (r == 0 && origin_rules_init(&g.config.origin, &g.config.hosts, &g.config.cors_origins,
					g.config.listen, why, sizeof why) < 0) {
		fprintf(stderr, "errand-gateway: %s\n", why);
		r = EXIT_USAGE;
	}
	if (r == 0 && g.config.schema != NULL && schema_file_load(g.config.schema) < 0)
		r = EXIT_CONFIG;
	if (r != 0)
		return r;
	signals_block(&signals);
	if (access_open(g.config.access_log, why, sizeof why) < 0) {
		fprintf(stderr, "errand-gateway: %s\n", why);
		return EXIT_CONFIG;
	}
	open_docs(g.config.docs);
	r = gateway_workers(&g);
	if (r == 0) {
		gateway_tell_ready(&g);
		gateway_run(&g, &signals);
	}
	gateway_free(&g);
	origin_rules_deinit(&g.config.origin);
	opt_deinit(options, ARRAY_LEN(options), &g.config);
	return r;
}
