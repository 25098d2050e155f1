/* hook_address.c: see hook_address.h. Addresses are compared in one form, IPv6's,
 * where IPv4 is ::ffff:a.b.c.d; forms of IPv6 that lead to an IPv4 address are judged
 * by that address too. */
#define _GNU_SOURCE
#include "service/hook_address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/util.h"
#include "errand/status.h"

#define REFUSE(...) (snprintf(why, why_size, __VA_ARGS__), -ERRAND_INVALID_ARGUMENT)
#define V4(a, b, c, d) {[10] = 0xff, [11] = 0xff, [12] = (a), [13] = (b), [14] = (c), [15] = (d)}
#define V4_BITS 96 /* in front of an IPv4 address */

/* Networks that are not the internet's. */
static const struct special {
	uint8_t net[16];
	uint8_t bits;
	uint8_t inner;    /* where an IPv4 address is in it that decides; 0: refused whole */
	const char *what;
} specials[] = {
	{V4(0, 0, 0, 0), V4_BITS + 8, 0, "this network"},
	{V4(10, 0, 0, 0), V4_BITS + 8, 0, "private"},
	{V4(100, 64, 0, 0), V4_BITS + 10, 0, "shared by a carrier"},
	{V4(127, 0, 0, 0), V4_BITS + 8, 0, "loopback"},
	{V4(169, 254, 0, 0), V4_BITS + 16, 0, "link-local"},
	{V4(172, 16, 0, 0), V4_BITS + 12, 0, "private"},
	{V4(192, 0, 0, 0), V4_BITS + 24, 0, "for protocols"},
	{V4(192, 0, 2, 0), V4_BITS + 24, 0, "for documentation"},
	{V4(192, 88, 99, 0), V4_BITS + 24, 0, "for relays"},
	{V4(192, 168, 0, 0), V4_BITS + 16, 0, "private"},
	{V4(198, 18, 0, 0), V4_BITS + 15, 0, "for benchmarks"},
	{V4(198, 51, 100, 0), V4_BITS + 24, 0, "for documentation"},
	{V4(203, 0, 113, 0), V4_BITS + 24, 0, "for documentation"},
	{V4(224, 0, 0, 0), V4_BITS + 4, 0, "multicast"},
	{V4(240, 0, 0, 0), V4_BITS + 4, 0, "reserved"},
	{{[15] = 1}, 128, 0, "loopback"},
	{{0}, 96, 12, "an old form of IPv4"},
	{{[8] = 0xff, [9] = 0xff}, 96, 12, "translated IPv4"},
	{{0, 0x64, 0xff, 0x9b}, 96, 12, "translated IPv4"},
	{{0, 0x64, 0xff, 0x9b, 0, 1}, 48, 0, "a local translator's"},
	{{0x01}, 64, 0, "discarded"},
	{{0x20, 0x01}, 23, 0, "for protocols"},
	{{0x20, 0x01, 0x0d, 0xb8}, 32, 0, "for documentation"},
	{{0x20, 0x02}, 16, 2, "6to4"},
	{{0x3f, 0xff}, 20, 0, "for documentation"},
	{{0x5f}, 16, 0, "for segment routing"},
	{{0xfc}, 7, 0, "private"},
	{{0xfe, 0x80}, 10, 0, "link-local"},
	{{0xfe, 0xc0}, 10, 0, "site-local"},
	{{0xff}, 8, 0, "multicast"},
};

static bool in_net(const uint8_t a[16], const uint8_t net[16], unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	return memcmp(a, net, whole) == 0 &&
	       (rest == 0 || ((a[whole] ^ net[whole]) >> (8 - rest)) == 0);
}

static void from_v4(const void *v4, uint8_t out[16])
{
	memset(out, 0, 10);
	memset(out + 10, 0xff, 2);
	memcpy(out + 12, v4, 4);
}

/* What kind of address it is that nobody outside can have; NULL: the internet's. */
static const char *special_kind(const uint8_t a[16])
{
	for (size_t i = 0; i < ARRAY_LEN(specials); i++) {
		const struct special *s = &specials[i];
		const char *what = s->what;
		uint8_t v4[16];

		if (!in_net(a, s->net, s->bits))
			continue;
		if (s->inner != 0) {
			from_v4(a + s->inner, v4);
			what = special_kind(v4);
		}
		if (what != NULL)
			return what;
	}
	return NULL;
}

/* Is the host an address, in any notation that resolvers take (127.1, 0x7f000001)?
 * 0 no, 1 yes, negative: it looks like one, and readers of it may differ. */
static int host_address(const char *host, uint8_t out[16])
{
	const char *last = strrchr(host, '.');
	struct in_addr v4;

	if (strchr(host, ':') != NULL)
		return inet_pton(AF_INET6, host, out) == 1 ? 1 : -1;
	if (inet_aton(host, &v4) != 0) {
		from_v4(&v4, out);
		return 1;
	}
	last = last != NULL ? last + 1 : host;
	return isdigit((unsigned char)*last) && (last[strspn(last, "0123456789")] == 0 ||
						 strncasecmp(last, "0x", 2) == 0) ? -1 : 0;
}

/* --- the allow-list --- */

static bool rule_matches(const struct hook_rule *r, const char *host, uint16_t port,
			 const uint8_t a[16])
{
	if (r->port != 0 && r->port != port)
		return false;
	if (r->name != NULL)
		return strcasecmp(r->name, host) == 0;
	return a != NULL && in_net(a, r->net, r->bits);
}

static bool rules_open(const struct hook_rules *r, const char *host, uint16_t port,
		       const uint8_t a[16])
{
	for (size_t i = 0; i < r->n; i++)
		if (rule_matches(&r->items[i], host, port, a))
			return true;
	return false;
}

/* Digits only; SIZE_MAX: it is no number up to max. */
static size_t read_number(const char *text, size_t max)
{
	size_t n = 0;

	if (*text == 0)
		return SIZE_MAX;
	for (; *text != 0; text++) {
		if (*text < '0' || *text > '9')
			return SIZE_MAX;
		n = 10 * n + (size_t)(*text - '0');
		if (n > max)
			return SIZE_MAX;
	}
	return n;
}

static bool name_is_plain(const char *s, size_t len)
{
	if (len == 0 || len >= HOOK_HOST_SIZE || s[0] == '.' || s[0] == '-')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!(isalnum((unsigned char)s[i]) || s[i] == '-' || s[i] == '_' ||
		      (s[i] == '.' && s[i - 1] != '.')))
			return false;
	return true;
}

/* ADDRESS or ADDRESS/BITS into the rule; false: it is no address. */
static bool read_net(char *text, const char *bits_text, struct hook_rule *out)
{
	bool v6 = strchr(text, ':') != NULL;
	unsigned width = v6 ? 128 : 32;
	size_t bits = bits_text != NULL ? read_number(bits_text, width) : width;
	struct in_addr v4;

	if (bits == SIZE_MAX)
		return false;
	if (v6) {
		out->bits = (unsigned)bits;
		return inet_pton(AF_INET6, text, out->net) == 1;
	}
	out->bits = V4_BITS + (unsigned)bits;
	if (inet_pton(AF_INET, text, &v4) != 1)
		return false;
	from_v4(&v4, out->net);
	return true;
}

/* Cuts the port off: behind the last colon, unless that is IPv6's own. */
static bool cut_port(char *text, uint16_t *portp)
{
	char *colon = strrchr(text, ':');
	bool bare6 = text[0] != '[' && colon != NULL && strchr(text, ':') != colon;
	char *close = strchr(text, ']');
	size_t port;

	if (colon == NULL || bare6 || (close != NULL && colon < close))
		return true;
	port = read_number(colon + 1, 65535);
	if (port == SIZE_MAX || port == 0)
		return false;
	*colon = 0;
	*portp = (uint16_t)port;
	return true;
}

int hook_rules_add(struct hook_rules *r, const char *text, char *why, size_t why_size)
{
	AUTO_FREE char *copy = xstrdup(text);
	struct hook_rule rule = {0};
	char *host = copy, *slash, *close;

	if (!cut_port(copy, &rule.port))
		return REFUSE("%.200s: the port is not 1 to 65535", text);
	slash = strchr(copy, '/');
	if (slash != NULL)
		*slash++ = 0;
	if (copy[0] == '[') {
		close = strchr(copy, ']');
		if (close == NULL || close[1] != 0)
			return REFUSE("%.200s: write an IPv6 network as [fd00::]/8", text);
		*close = 0;
		host++;
	}
	if (!read_net(host, slash, &rule)) {
		if (slash != NULL || copy[0] == '[' || !name_is_plain(host, strlen(host)) ||
		    host_address(host, rule.net) != 0)
			return REFUSE("%.200s: write ADDRESS, ADDRESS/BITS or a host's name, and :PORT behind it "
				      "if only that is meant", text);
		rule.name = xstrdup(host);
	}
	r->items = xrealloc(r->items, (r->n + 1) * sizeof *r->items);
	r->items[r->n++] = rule;
	return 0;
}

void hook_rules_deinit(struct hook_rules *r)
{
	for (size_t i = 0; i < r->n; i++)
		free(r->items[i].name);
	free(r->items);
	*r = (struct hook_rules){0};
}

/* --- URLs --- */

/* Names that mean this machine wherever they are asked for (RFC 6761). */
static bool is_local_name(const char *host)
{
	static const char *const names[] = {"localhost", "ip6-localhost", "ip6-loopback"};
	size_t len = strlen(host);

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(host, names[i]) == 0)
			return true;
	return len > 10 && strcmp(host + len - 10, ".localhost") == 0;
}

static int check_host(const struct hook_rules *r, const struct hook_url *u, char *why,
		      size_t why_size)
{
	uint8_t address[16];
	int is_address = host_address(u->host, address);
	const char *kind = is_address > 0 ? special_kind(address) : NULL;

	if (is_address < 0)
		return REFUSE("host %s is neither an address nor a name", u->host);
	if (is_address == 0 && is_local_name(u->host))
		kind = "this machine";
	if (kind == NULL || rules_open(r, u->host, u->port, is_address > 0 ? address : NULL))
		return 0;
	/* A name may have been opened by the address it leads to: that is seen when it is dialled. */
	if (is_address == 0 && r->n > 0)
		return 0;
	return REFUSE("host %s (%s) is not of the public internet; --callback-allow of errand-service "
		      "opens it", u->host, kind);
}

/* HOST or [IPv6], and the port, out of what is between "//" and the path. */
static int read_authority(const char *text, size_t len, struct hook_url *u, char *why,
			  size_t why_size)
{
	char copy[HOOK_HOST_SIZE + 8];
	char *host = copy;
	uint16_t port = u->port;
	size_t n;

	if (len == 0 || len >= sizeof copy)
		return REFUSE("it names no host, or too long a one");
	memcpy(copy, text, len);
	copy[len] = 0;
	if (strchr(copy, '@') != NULL)
		return REFUSE("it has a user or a password: only the signature says who sends");
	if (!cut_port(copy, &port))
		return REFUSE("its port is not 1 to 65535");
	n = strlen(copy);
	if (copy[0] == '[') {
		if (n < 3 || copy[n - 1] != ']')
			return REFUSE("its host has a bracket too few");
		copy[n - 1] = 0;
		host++;
	} else {
		n -= n > 1 && copy[n - 1] == '.';
		copy[n] = 0;
		if (!name_is_plain(copy, n))
			return REFUSE("its host is no name: letters, digits, '-' and '.' (IDNs as xn--...)");
	}
	for (char *p = host; *p != 0; p++)
		*p = (char)tolower((unsigned char)*p);
	n = strlen(host);
	if (n >= sizeof u->host)
		return REFUSE("its host is too long");
	memcpy(u->host, host, n + 1);
	u->port = port;
	return 0;
}

int hook_url_check(const struct hook_rules *r, const char *text, struct hook_url *out, char *why,
		   size_t why_size)
{
	size_t scheme = strncasecmp(text, "https://", 8) == 0 ? 8 : strncasecmp(text, "http://", 7) == 0 ? 7 : 0;
	int err;

	*out = (struct hook_url){.tls = scheme == 8, .port = scheme == 8 ? 443 : 80};
	if (scheme == 0)
		return REFUSE("it is no http:// or https:// URL");
	if (strlen(text) > HOOK_URL_MAX)
		return REFUSE("it is longer than %d bytes", HOOK_URL_MAX);
	for (const unsigned char *p = (const unsigned char *)text; *p != 0; p++)
		if (*p <= ' ' || *p >= 0x7f || *p == '\\')
			return REFUSE("it has bytes that must be percent-encoded");
	if (strchr(text, '#') != NULL)
		return REFUSE("it has a fragment, which is never sent");
	err = read_authority(text + scheme, strcspn(text + scheme, "/?"), out, why, why_size);
	return err < 0 ? err : check_host(r, out, why, why_size);
}

bool hook_address_check(const struct hook_rules *r, const struct hook_url *url,
			const struct sockaddr *address, char *why, size_t why_size)
{
	char text[INET6_ADDRSTRLEN] = "?";
	const char *kind = "not an internet address";
	uint8_t a[16];

	if (address->sa_family == AF_INET) {
		from_v4(&((const struct sockaddr_in *)(const void *)address)->sin_addr, a);
		inet_ntop(AF_INET, a + 12, text, sizeof text);
		kind = special_kind(a);
	} else if (address->sa_family == AF_INET6) {
		memcpy(a, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, 16);
		inet_ntop(AF_INET6, a, text, sizeof text);
		kind = special_kind(a);
	} else {
		memset(a, 0, 16);
	}
	if (kind == NULL || (text[0] != '?' && rules_open(r, url->host, url->port, a)))
		return true;
	snprintf(why, why_size, "%.200s leads to %s (%s), which is not of the public internet", url->host,
		 text, kind);
	return false;
}
