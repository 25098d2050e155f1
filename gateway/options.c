/* options.c: see options.h. */
#define _GNU_SOURCE
#include "gateway/options.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <sysexits.h>

#include "base/log.h"
#include "base/util.h"
#include "gateway/auth.h"
#include "gateway/openapi.h"
#include "gateway/schema_file.h"

#define HOUR (3600LL * 1000000000)
#define AT(member) offsetof(struct gateway_config, member)

/* Every option, its default and its range; man/errand-gateway.8 tells more. */
static const struct opt options[] = {
	{"config", 'c', OPT_LIST, AT(configs), NULL, 0, 0, "FILE",
	 "file or directory with settings, see errand.conf(5); may be given several times; none is none",
	 OPT_LINE_ONLY},
	{"check", 't', OPT_FLAG, AT(check), NULL, 0, 0, NULL,
	 "looks whether the configuration is right, and ends; serves nothing", OPT_LINE_ONLY},
	{"show-config", 'T', OPT_FLAG, AT(show_config), NULL, 0, 0, NULL,
	 "shows every setting, its value and where that comes from, and ends", OPT_LINE_ONLY},
	{"describe", 0, OPT_STRING, AT(describe), NULL, 0, 0, "FORMAT",
	 "shows the table of settings as conf, mdoc or tsv, and ends", OPT_LINE_ONLY},
	{"listen", 'l', OPT_LIST, AT(listen), NULL, 0, 0, "ADDRESS",
	 "HOST:PORT, tls:HOST:PORT, unix:PATH[,mode=0660][,group=NAME] or systemd:NAME to serve HTTP on, may be given "
	 "several times; port 0 picks a free one; default: what systemd gave, else " LISTEN_DEFAULT},
	{"insecure-listen", 0, OPT_FLAG, AT(insecure_listen), NULL, 0, 0, NULL,
	 "others may reach the gateway without TLS or without saying who they are"},
	{"tls-cert", 0, OPT_LIST, AT(tls.certs), NULL, 0, 0, "FILE",
	 "certificates of tls: listeners, a chain in PEM form; may be given several times, for several names",
	 OPT_RELOADS},
	{"tls-key", 0, OPT_LIST, AT(tls.keys), NULL, 0, 0, "FILE",
	 "the key of each, in the same order; nobody else may read it", OPT_RELOADS},
	{"tls-client-ca", 0, OPT_STRING, AT(tls.client_ca), NULL, 0, 0, "FILE",
	 "whose client certificates count", OPT_RELOADS},
	{"tls-client-auth", 0, OPT_STRING, AT(tls.client_auth), NULL, 0, 0, "WHEN",
	 "require, optional or off; default: require with --tls-client-ca", OPT_RELOADS},
	{"socket", 's', OPT_STRING, AT(socket), RUNDIR "/errand/service.sock", 0, 0, "PATH",
	 "UNIX socket of the service"},
	{"schema", 0, OPT_STRING, AT(schema), NULL, 0, 0, "FILE",
	 "descriptor set of a plain ttrpc server"},
	{"threads", 0, OPT_INT, AT(threads), "0", 0, GATEWAY_THREADS_MAX, "N",
	 "event loops; 0: one per processor"},
	{"host", 0, OPT_LIST, AT(hosts), NULL, 0, 0, "NAMES",
	 "names this server answers to; on loopback this machine's, else any", OPT_RELOADS},
	{"cors-origin", 0, OPT_LIST, AT(cors_origins), NULL, 0, 0, "ORIGINS",
	 "pages of other origins that may use the gateway; * is any", OPT_RELOADS},
	{"tokens", 0, OPT_STRING, AT(tokens), NULL, 0, 0, "FILE",
	 "bearer tokens, as errand token makes them: clients have to have one", OPT_RELOADS},
	{"anonymous", 0, OPT_STRING, AT(anonymous), NULL, 0, 0, "SCOPES",
	 "what a client may do that does not say who it is; none, or read, call, call:PACKAGE.Service, operate",
	 OPT_RELOADS},
	{"peer", 0, OPT_LIST, AT(peers), NULL, 0, 0, "USER=SCOPES",
	 "what a user of this machine may do over a UNIX socket; root and the gateway's own may do everything",
	 OPT_RELOADS},
	{"cert", 0, OPT_LIST, AT(certs), NULL, 0, 0, "NAME=SCOPES",
	 "what the client with a certificate of this name may do", OPT_RELOADS},
	{"open-docs", 0, OPT_FLAG, AT(open_docs), NULL, 0, 0, NULL,
	 "/docs and /openapi.json are for everybody", OPT_RELOADS},
	{"rate-limit", 0, OPT_STRING, AT(rate_limit), "off", 0, 0, "RATE",
	 "requests of a client, as 10/s or 600/m:50, the latter with at most 50 at once; off", OPT_RELOADS},
	{"auth-failures", 0, OPT_STRING, AT(auth_failures), "60/m", 0, 0, "RATE",
	 "requests of an address with credentials that are wrong; off: any number", OPT_RELOADS},
	{"gzip", 0, OPT_STRING, AT(gzip), "1K", 0, 0, "MINSIZE",
	 "smallest answer that is packed; off: none, and no packed request", OPT_RELOADS},
	{"max-connections", 0, OPT_INT, AT(max_connections), "10000", 1, 1000000, "N",
	 "HTTP connections at once", OPT_RELOADS},
	{"max-head", 0, OPT_SIZE, AT(max_head), "64K", 1024, 16 << 20, "SIZE",
	 "request line and headers", OPT_RELOADS},
	{"max-headers", 0, OPT_INT, AT(max_headers), "100", 1, 10000, "N", "header lines of a request", OPT_RELOADS},
	{"max-body", 0, OPT_SIZE, AT(max_body), "4M", 0, 64 << 20, "SIZE", "body of a request", OPT_RELOADS},
	{"head-timeout", 0, OPT_TIME, AT(head_timeout), "10s", 1, HOUR, "TIME",
	 "from a request's first byte to the end of its headers", OPT_RELOADS},
	{"body-timeout", 0, OPT_TIME, AT(body_timeout), "30s", 1, HOUR, "TIME",
	 "from there to the end of its body", OPT_RELOADS},
	{"idle-timeout", 0, OPT_TIME, AT(idle_timeout), "75s", 1, 24 * HOUR, "TIME",
	 "between the requests of a connection", OPT_RELOADS},
	{"write-timeout", 0, OPT_TIME, AT(write_timeout), "30s", 1, HOUR, "TIME",
	 "without progress in sending an answer", OPT_RELOADS},
	{"default-deadline", 0, OPT_TIME, AT(default_deadline), "30s", 1, HOUR, "TIME",
	 "of a call whose client sets none", OPT_RELOADS},
	{"max-deadline", 0, OPT_TIME, AT(max_deadline), "30s", 1, 24 * HOUR, "TIME",
	 "what a client may set", OPT_RELOADS},
	{"max-wait", 0, OPT_TIME, AT(max_wait), "60s", 0, HOUR, "TIME",
	 "of Prefer: wait=N", OPT_RELOADS},
	{"heartbeat", 0, OPT_TIME, AT(heartbeat), "15s", 1000000, HOUR, "TIME",
	 "between comments on a silent event stream", OPT_RELOADS},
	{"reconnect-wait", 0, OPT_TIME, AT(reconnect_wait), "2s", 0, 5LL * 60 * 1000000000, "TIME",
	 "requests wait for a service that has just gone; 0: 503 at once", OPT_RELOADS},
	{"ping-interval", 0, OPT_TIME, AT(ping_interval), "5s", 1000000, HOUR, "TIME",
	 "a silent service is asked whether it lives, and has as long to answer"},
	{"drain-timeout", 0, OPT_TIME, AT(drain_timeout), "30s", 0, HOUR, "TIME",
	 "for requests under way when stopping", OPT_RELOADS},
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
	{"log-format", 0, OPT_STRING, AT(log_format), "auto", 0, 0, "FORMAT",
	 "logfmt, json or journal; auto: journal where stderr is it, else logfmt", OPT_RELOADS},
	{"log-level", 0, OPT_STRING, AT(log_level), "info", 0, 0, "LEVEL",
	 "error, warn, info or debug", OPT_RELOADS},
	{"ready-fd", 0, OPT_INT, AT(ready_fd), "-1", -1, 1 << 20, "FD",
	 "gets the first port (or socket's path) and a newline when listening", OPT_LINE_ONLY},
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

/* As given, with unix: in front: never HOST:PORT, even without a slash. 0, or the exit status. */
static int config_socket(struct gateway_config *c)
{
	const size_t max = sizeof ((struct sockaddr_un *)0)->sun_path - 1;
	const char *path = strncmp(c->socket, "unix:", 5) == 0 ? c->socket + 5 : c->socket;

	if (strlen(path) > max || *path == '\0')
		return settings_wrong(&c->settings, "socket", "%.40s%s: a socket's path has 1 to %zu bytes, "
				      "this has %zu", path, strlen(path) > 40 ? "..." : "", max, strlen(path));
	c->socket_address = xasprintf("unix:%s", path);
	c->socket = c->socket_address;
	return 0;
}

/* Where to listen, and may it. 0, or the exit status. */
static int config_listen(struct gateway_config *c)
{
	const struct settings *s = &c->settings;
	char why[768];

	if (listen_read(&c->listeners, &c->listen, why, sizeof why) < 0)
		return settings_wrong(s, "listen", "%s", why);
	if (tls_options_check(&c->tls, &c->client_auth, why, sizeof why) < 0)
		return settings_wrong(s, "tls-cert", "%s", why);
	if (listen_has_tls(&c->listeners) && c->tls.certs.n == 0)
		return settings_wrong(s, "listen", "a tls: listener needs --tls-cert FILE and --tls-key FILE");
	if (!listen_has_tls(&c->listeners) && tls_options_given(&c->tls))
		log_warn("--tls-... is for tls: listeners, and there is none", NULL);
	if (!c->insecure_listen && listen_check(&c->listeners, c->tokens != NULL, c->client_auth == TLS_CLIENT_REQUIRED, why,
						sizeof why) < 0)
		return settings_wrong(s, "listen", "%s", why);
	return 0;
}

/* How often. 0, or the exit status. */
static int config_rates(struct gateway_config *c)
{
	char why[256];

	if (rate_parse(c->rate_limit, &c->rate, why, sizeof why) < 0)
		return settings_wrong(&c->settings, "rate-limit", "%s", why);
	if (rate_parse(c->auth_failures, &c->failures, why, sizeof why) < 0)
		return settings_wrong(&c->settings, "auth-failures", "%s", why);
	return 0;
}

/* Who may ask. 0, or the exit status. */
static int config_origin(struct gateway_config *c)
{
	struct opt_list at = listen_hosts(&c->listeners);
	char why[512];
	int r = origin_rules_init(&c->origin, &c->hosts, &c->cors_origins, &at, why, sizeof why);

	free(at.items);
	if (r == 0)
		return 0;
	fprintf(stderr, "errand-gateway: %s\n", why);
	return EX_USAGE;
}

/* What the table cannot know of values. 0, or the exit status after having said what is wrong. */
static int config_finish(struct gateway_config *c)
{
	const struct settings *s = &c->settings;
	int level = log_level_by_name(c->log_level), format = log_format_by_name(c->log_format), r;

	if (level < 0)
		return settings_wrong(s, "log-level", "%s: use error, warn, info or debug", c->log_level);
	if (format < 0)
		return settings_wrong(s, "log-format", "%s: use auto, logfmt, json or journal", c->log_format);
	c->level = (enum log_level)level;
	c->format = (enum log_format)format;
	if (c->public_url != NULL && !openapi_url_good(c->public_url))
		return settings_wrong(s, "public-url", "%.200s: use http://HOST or https://HOST/PATH, without a slash "
				      "at the end", c->public_url);
	if (!config_gzip(c))
		return settings_wrong(s, "gzip", "%s: give a size, as 1K, or on, or off", c->gzip);
	r = config_rates(c);
	if (r == 0)
		r = config_socket(c);
	if (r == 0)
		r = config_listen(c);
	if (r != 0)
		return r;
	if (c->threads == 0)
		c->threads = online_processors();
	c->default_deadline = MIN(c->default_deadline, c->max_deadline);
	return config_origin(c);
}

static const struct settings_program program = {
	.name = "errand-gateway",
	.section = "gateway",
	.usage = "errand-gateway [options]",
	.table = options,
	.n = ARRAY_LEN(options),
	.others = (const char *const[]){"service", "command", NULL},
};

int gateway_options_read(struct gateway_config *c, int argc, char **argv)
{
	int first, r = settings_read(&c->settings, &program, c, argc, argv, &first, NULL);

	if (r != 0)
		return r;
	if (first < argc) {
		fprintf(stderr, "errand-gateway: %s: takes options only, see --help\n", argv[first]);
		return EX_USAGE;
	}
	if (c->describe != NULL)
		return 0;
	r = config_finish(c);
	if (r == 0 && event_get_version_number() < 0x02010c00)
		log_warn("libevent is older than 2.1.12: its HTTP parser has known holes", "version=%s",
			 event_get_version());
	return r;
}

/* The schema's file says itself what is wrong. */
static int check(const struct gateway_config *c)
{
	char why[512];

	if (auth_load(c, why, sizeof why) < 0) {
		fprintf(stderr, "errand-gateway: %s\n", why);
		return EX_CONFIG;
	}
	if (c->schema != NULL && schema_file_load(c->schema) < 0)
		return EX_CONFIG;
	printf("errand-gateway: the configuration is right\n");
	return 0;
}

bool gateway_options_show(const struct gateway_config *c, int *statusp)
{
	*statusp = 0;
	if (c->describe != NULL) {
		if (!settings_describe(&program, c->describe, stdout))
			*statusp = settings_wrong(&c->settings, "describe", "%s: conf, mdoc or tsv", c->describe);
		return true;
	}
	if (c->show_config)
		settings_print(&c->settings, stdout);
	else if (c->check)
		*statusp = check(c);
	return c->show_config || c->check;
}

struct gateway_config *gateway_options_reload(const struct gateway_config *live, int argc, char **argv)
{
	struct gateway_config *c = xcalloc(1, sizeof *c);

	if (gateway_options_read(c, argc, argv) != 0) {
		log_error("the configuration cannot be used, the former one stays", NULL);
		gateway_options_deinit(c);
		free(c);
		return NULL;
	}
	settings_reload(&live->settings, live, &c->settings, c);
	c->state = live->state;
	return c;
}

void gateway_options_deinit(struct gateway_config *c)
{
	origin_rules_deinit(&c->origin);
	listen_deinit_set(&c->listeners);
	free(c->socket_address);
	settings_deinit(&c->settings, c);
}
