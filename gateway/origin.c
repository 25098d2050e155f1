/* See origin.h. What a browser sends without being asked (Origin, Sec-Fetch-Site) is
 * believed: a page cannot set it. X-Forwarded-Host is not: anybody can. */
#define _GNU_SOURCE
#include "gateway/origin.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "errand/status.h"
#include "gateway/problem.h"

static const char *const local_names[] = {"localhost", "127.0.0.1", "[::1]"};

/* --- the lists --- */

static void list_add(struct opt_list *l, const char *text, size_t len)
{
	l->items = xrealloc(l->items, (l->n + 2) * sizeof *l->items);
	l->items[l->n++] = xstrndup(text, len);
	l->items[l->n] = NULL;
}

/* One element after the other of texts with commas between them. */
static void list_split(struct opt_list *l, const struct opt_list *from)
{
	for (size_t i = 0; i < from->n; i++) {
		const char *p = from->items[i];

		for (;;) {
			size_t n;

			p += strspn(p, ", \t");
			n = strcspn(p, ", \t");
			if (n == 0)
				break;
			list_add(l, p, n);
			p += n;
		}
	}
}

static bool list_has(const struct opt_list *l, const char *text, size_t len)
{
	for (size_t i = 0; i < l->n; i++)
		if (strlen(l->items[i]) == len && strncasecmp(l->items[i], text, len) == 0)
			return true;
	return false;
}

static void list_free(struct opt_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free((char *)(uintptr_t)l->items[i]);
	free(l->items);
	*l = (struct opt_list){0};
}

/* The length of a host name without its port: "[::1]:80" is "[::1]". */
static size_t host_length(const char *host)
{
	if (*host == '[') {
		const char *end = strchr(host, ']');

		return end != NULL ? (size_t)(end - host) + 1 : strlen(host);
	}
	return strcspn(host, ":");
}

static bool is_loopback(const char *host, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(local_names); i++)
		if (strlen(local_names[i]) == len && strncasecmp(host, local_names[i], len) == 0)
			return true;
	return strncmp(host, "127.", 4) == 0;
}

/* No --host: on loopback this machine's names, else any. */
static void hosts_default(struct origin_rules *o, const struct opt_list *listen)
{
	for (size_t i = 0; i < listen->n; i++) {
		size_t len = host_length(listen->items[i]);

		o->any_host = o->any_host || !is_loopback(listen->items[i], len);
		list_add(&o->hosts, listen->items[i], len);
	}
	for (size_t i = 0; i < ARRAY_LEN(local_names); i++)
		list_add(&o->hosts, local_names[i], strlen(local_names[i]));
}

static bool host_is_name(const char *name)
{
	size_t len = host_length(name);

	return len != 0 && name[len] == '\0' && strpbrk(name, "/@ \t*?#\\") == NULL;
}

/* "scheme://host[:port]", as browsers write it. */
static bool origin_is_name(const char *origin)
{
	const char *host = strstr(origin, "://");
	size_t len;

	if (host == NULL || host == origin || !isalpha((unsigned char)*origin))
		return false;
	host += 3;
	len = host_length(host);
	if (len == 0 || strpbrk(host, "/@*?#\\ \t") != NULL)
		return false;
	return host[len] == '\0' || (host[len] == ':' && host[len + 1] != '\0' &&
				     strspn(host + len + 1, "0123456789") == strlen(host + len + 1));
}

int origin_rules_init(struct origin_rules *o, const struct opt_list *hosts,
		      const struct opt_list *origins, const struct opt_list *listen, char *why, size_t why_size)
{
	*o = (struct origin_rules){0};
	list_split(&o->hosts, hosts);
	list_split(&o->origins, origins);
	if (o->hosts.n == 0)
		hosts_default(o, listen);
	o->any_host = o->any_host || list_has(&o->hosts, "*", 1);
	o->any_origin = list_has(&o->origins, "*", 1);
	for (size_t i = 0; i < o->hosts.n && !o->any_host; i++) {
		if (host_is_name(o->hosts.items[i]))
			continue;
		snprintf(why, why_size, "--host %.200s: give names without a port, as localhost, "
			 "api.example.org or [::1]; or *", o->hosts.items[i]);
		return -1;
	}
	for (size_t i = 0; i < o->origins.n && !o->any_origin; i++) {
		if (origin_is_name(o->origins.items[i]))
			continue;
		snprintf(why, why_size, "--cors-origin %.200s: give scheme://host or "
			 "scheme://host:port without a path, as https://app.example.org; or *",
			 o->origins.items[i]);
		return -1;
	}
	return 0;
}

void origin_rules_deinit(struct origin_rules *o)
{
	list_free(&o->hosts);
	list_free(&o->origins);
}

/* --- a request --- */

bool origin_host_known(const struct origin_rules *o, const char *host)
{
	size_t len;

	if (o->any_host || host == NULL)
		return true;
	len = host_length(host);
	if (len > 1 && host[len - 1] == '.') /* a name from the root */
		len--;
	return list_has(&o->hosts, host, len);
}

bool origin_allowed(const struct origin_rules *o, const char *origin)
{
	return origin != NULL && (o->any_origin || list_has(&o->origins, origin, strlen(origin)));
}

bool origin_is_same(const char *origin, const char *host)
{
	static const struct {
		const char *scheme, *port;
	} schemes[] = {{"http://", ":80"}, {"https://", ":443"}};

	if (origin == NULL || host == NULL || *host == '\0')
		return false;
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		size_t n = strlen(schemes[i].scheme), len = host_length(host);

		if (strncasecmp(origin, schemes[i].scheme, n) != 0)
			continue;
		origin += n;
		if (strcasecmp(origin, host) == 0)
			return true;
		/* a browser leaves the scheme's own port out */
		return strcmp(host + len, schemes[i].port) == 0 && strlen(origin) == len &&
			strncasecmp(origin, host, len) == 0;
	}
	return false;
}

static bool is_safe(const char *verb)
{
	return strcmp(verb, "GET") == 0 || strcmp(verb, "OPTIONS") == 0; /* HEAD is GET here */
}

/* Does a page of another origin ask, as far as its browser tells? */
static bool is_foreign(const struct http_request *r, const struct origin_rules *o)
{
	const char *origin = http_header(r, "Origin");
	const char *site;

	if (http_header_nth(r, "Origin", 1) != NULL)
		return true; /* no browser's; which of them is meant? */
	if (origin != NULL)
		return !origin_is_same(origin, http_header(r, "Host")) && !origin_allowed(o, origin);
	site = http_header(r, "Sec-Fetch-Site");
	return site != NULL && strcasecmp(site, "cross-site") == 0 && !o->any_origin;
}

bool origin_refuse(struct http_request *r, const struct origin_rules *o)
{
	const char *host = http_header(r, "Host");

	/* No name leads a page's browser to a UNIX socket. */
	if (http_peer_uid(r) < 0 && !origin_host_known(o, host))
		problem_reply(r, 421, ERRAND_PERMISSION_DENIED,
			      "this server does not answer to the name %.200s (--host)", host);
	else if (!is_safe(http_verb(r)) && is_foreign(r, o))
		problem_reply(r, 403, ERRAND_PERMISSION_DENIED,
			      "pages of another origin may not do this (--cors-origin)");
	else
		return false;
	return true;
}
