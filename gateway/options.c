/* options.c: see options.h. */
#define _GNU_SOURCE
#include "gateway/options.h"

#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <sysexits.h>

#include "base/log.h"
#include "base/opt.h"
#include "base/util.h"
#include "gateway/openapi.h"

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
	{"threads", 't', OPT_INT, AT(threads), "0", 0, GATEWAY_THREADS_MAX, "N",
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
	{"docs", 0, OPT_STRING, AT(docs), GATEWAY_DOCS_DIR, 0, 0, "DIR",
	 "Swagger UI's files for /docs; off is no /docs"},
	{"log-level", 0, OPT_STRING, AT(log_level), "info", 0, 0, "LEVEL",
	 "error, warn, info or debug"},
	{"ready-fd", 0, OPT_INT, AT(ready_fd), "-1", -1, 1 << 20, "FD",
	 "gets PORT and a newline when listening"},
};

static int64_t online_processors(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : MIN(n, GATEWAY_THREADS_MAX);
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
		return EX_USAGE;
	}
	log_init("errand-gateway", (enum log_level)level);
	if (c->public_url != NULL && !openapi_url_good(c->public_url)) {
		fprintf(stderr, "errand-gateway: --public-url %.200s: use http://HOST or https://HOST/PATH, "
			"without a slash at the end\n", c->public_url);
		return EX_USAGE;
	}
	if (!config_gzip(c)) {
		fprintf(stderr, "errand-gateway: --gzip %s: give a size, as 1K, or on, or off\n", c->gzip);
		return EX_USAGE;
	}
	path = strncmp(c->socket, "unix:", 5) == 0 ? c->socket + 5 : c->socket;
	if (strlen(path) > max || *path == '\0') {
		fprintf(stderr, "errand-gateway: --socket %.40s%s: a socket's path has 1 to %zu bytes, "
			"this has %zu\n", path, strlen(path) > 40 ? "..." : "",
			max, strlen(path));
		return EX_USAGE;
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

int gateway_options_read(struct gateway_config *c, int argc, char **argv)
{
	char why[512];
	int first = opt_parse(options, ARRAY_LEN(options), c, argc, argv, "errand-gateway [options]");
	int r;

	if (first < 0)
		return EX_USAGE;
	if (first < argc) {
		fprintf(stderr, "errand-gateway: %s: takes options only, see --help\n", argv[first]);
		return EX_USAGE;
	}
	r = config_finish(c);
	if (r == 0 && origin_rules_init(&c->origin, &c->hosts, &c->cors_origins, c->listen, why,
					sizeof why) < 0) {
		fprintf(stderr, "errand-gateway: %s\n", why);
		r = EX_USAGE;
	}
	return r;
}

void gateway_options_deinit(struct gateway_config *c)
{
	origin_rules_deinit(&c->origin);
	opt_deinit(options, ARRAY_LEN(options), c);
}
