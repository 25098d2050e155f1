/* tls_module.h: what errand-tls.so has for the gateway (tls.c loads it). It is a module
 * since libssl and libcrypto cost each process 2 MB, which a gateway without TLS does
 * not pay.
 *
 *   client ── TLS over TCP ── link (libssl) ── a socket pair ── http_conn
 *
 * A link stands between a client and its connection: what it decrypts it writes to one
 * end of a socket pair, what it reads there it encrypts. So the guard, the deadlines and
 * the writing of http*.c are the same with TLS and without it; back-pressure is the
 * kernel's, in both directions, and each direction ends by itself.
 *
 * Contexts may be used by several threads, a link by the one whose base it is given.
 * The module knows nothing of the gateway: it logs by its ops. */
#ifndef GATEWAY_TLS_MODULE_H
#define GATEWAY_TLS_MODULE_H

#include <stddef.h>
#include <stdint.h>

#define TLS_MODULE "errand-tls.so"
#define TLS_MODULE_SYMBOL "errand_tls_module"
enum { TLS_MODULE_ABI = 1, TLS_NAME_MAX = 128 };

struct event_base;
struct tls_context; /* certificates and rules; counted */
struct tls_link;

enum tls_client_auth { TLS_CLIENT_NONE, TLS_CLIENT_OPTIONAL, TLS_CLIENT_REQUIRED };

/* Files, all PEM; borrowed. certs[i] is a chain that begins with the server's own, keys[i]
 * its key; the first pair is for clients that name no host, or an unknown one. */
struct tls_files {
	const char *const *certs, *const *keys;
	size_t n;
	const char *client_ca; /* NULL: clients are not asked for certificates */
	enum tls_client_auth client_auth;
};

struct tls_link_ops {
	/* The handshake is done. name (borrowed, printable ASCII): the CN of the client's
	 * checked certificate, or else its first name of another kind; NULL: it gave none. */
	void (*established)(void *owner, const char *name);
	/* It failed; `ended` follows. why is borrowed. */
	void (*failed)(void *owner, const char *why);
	/* All that the gateway had for the client, its end too, is on its way. */
	void (*sent)(void *owner);
	/* The link is no more; it closes its descriptors after this. */
	void (*ended)(void *owner);
};

struct tls_timeouts {
	int64_t handshake_ns;
	int64_t write_ns;      /* the client takes nothing: cut off */
};

struct tls_module {
	unsigned abi;
	/* 0 with *out, or -1 with the reason in why: which file, what is wrong, what to do. about
	 * (as large) tells what was loaded, for the log. */
	int (*context_new)(const struct tls_files *files, struct tls_context **out, char *about, char *why,
			   size_t size);
	struct tls_context *(*context_free)(struct tls_context *c); /* links keep what they need */
	/* Takes tcp and plain (non-blocking), ops and owner are borrowed. NULL: out of memory,
	 * and both are closed. */
	struct tls_link *(*link_new)(struct tls_context *c, struct event_base *base, int tcp, int plain,
				     const struct tls_timeouts *timeouts, const struct tls_link_ops *ops,
				     void *owner);
	/* At once; `ended` is told. */
	void (*link_end)(struct tls_link *l);
};

#endif
