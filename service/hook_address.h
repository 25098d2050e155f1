/* hook_address.h: where callbacks may go. A URL is looked at when it is set (its
 * form, and its host when that is an address), and every address again in the
 * moment it is dialled: what a name led to before proves nothing. Refused is what
 * is not of the public internet, in any spelling; an allow-list opens it. Pure.
 * Sources: RFC 6890 and IANA's registries of special-purpose addresses. */
#ifndef SERVICE_HOOK_ADDRESS_H
#define SERVICE_HOOK_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sockaddr;

#define HOOK_URL_MAX 2048
#define HOOK_HOST_SIZE 256

/* A URL that may be tried. */
struct hook_url {
	bool tls;
	char host[HOOK_HOST_SIZE]; /* small letters; an IPv6 address without brackets */
	uint16_t port;
};

struct hook_rule {
	char *name;       /* a host's; NULL: a network */
	uint8_t net[16];  /* an IPv4 network as ::ffff:a.b.c.d */
	unsigned bits;
	uint16_t port;    /* 0: any */
};

/* The allow-list; zeroed = empty. */
struct hook_rules {
	struct hook_rule *items; /* owned */
	size_t n;
};
/* "10.0.0.0/8", "127.0.0.1:8080", "[fd00::]/8:443", "hooks.example.org:443". A name
 * opens whatever addresses it has. Negative with the reason in why. */
int hook_rules_add(struct hook_rules *r, const char *text, char *why, size_t why_size);
void hook_rules_deinit(struct hook_rules *r);

/* Is it http(s), without user, fragment or odd letters; is the host, when it is an
 * address in any notation a resolver takes, or a name of this machine, one that may
 * be dialled? Negative with the reason in why. */
int hook_url_check(const struct hook_rules *r, const char *text, struct hook_url *out, char *why,
		   size_t why_size);
/* May this address be dialled for that URL? False with the reason in why. */
bool hook_address_check(const struct hook_rules *r, const struct hook_url *url,
			const struct sockaddr *address, char *why, size_t why_size);

#endif
