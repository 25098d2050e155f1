/* tls.h: the gateway's TLS: the module that has it (tls_module.h), and the certificates
 * new handshakes get. One for the process; threads may use it at once.
 *
 * SIGHUP brings new files: what cannot be used leaves the old as they are, and who is
 * connected stays so. */
#ifndef GATEWAY_TLS_H
#define GATEWAY_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/opt.h"
#include "gateway/tls_module.h"

struct tls;

/* --tls-cert, --tls-key, --tls-client-ca and --tls-client-auth as given. */
struct tls_options {
	struct opt_list certs, keys;
	const char *client_ca;   /* NULL: none */
	const char *client_auth; /* "off", "optional", "require"; NULL: require if there is a CA */
};

/* Do they fit together, and what do they ask of clients? 0, or -1 with the reason in why. */
int tls_options_check(const struct tls_options *o, enum tls_client_auth *authp, char *why, size_t size);
/* Are there any? */
bool tls_options_given(const struct tls_options *o);

/* Loads the module and the files (logged). NULL with the reason in why. */
struct tls *tls_new(const struct tls_options *o, char *why, size_t size);
/* The files anew, from any one thread; both outcomes are logged. NULL-safe. */
int tls_reload(struct tls *t, const struct tls_options *o);
struct tls *tls_free(struct tls *t); /* NULL-safe; when there are no links */

/* As tls_module.link_new and link_end. */
struct tls_link *tls_link_new(struct tls *t, struct event_base *base, int tcp, int plain,
			      const struct tls_timeouts *timeouts, const struct tls_link_ops *ops,
			      void *owner);
void tls_link_end(const struct tls *t, struct tls_link *l);

#endif
