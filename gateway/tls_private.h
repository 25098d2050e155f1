/* tls_private.h: what the two files of errand-tls.so share. */
#ifndef GATEWAY_TLS_PRIVATE_H
#define GATEWAY_TLS_PRIVATE_H

#include <openssl/ssl.h>

#include "gateway/tls_module.h"

struct tls_context *tls_context_ref(struct tls_context *c);
struct tls_context *tls_context_unref(struct tls_context *c);
int tls_context_new(const struct tls_files *files, struct tls_context **out, char *about, char *why,
		    size_t size);
/* A session for one client. NULL: out of memory. */
SSL *tls_context_session(const struct tls_context *c);
/* The name in the client's checked certificate. 1: in name; 0: it has given none; -1: none of its
 * names can be used. */
int tls_client_name(const SSL *ssl, char name[TLS_NAME_MAX + 1]);

struct tls_link *tls_module_link_new(struct tls_context *c, struct event_base *base, int tcp, int plain,
				     const struct tls_timeouts *timeouts, const struct tls_link_ops *ops,
				     void *owner);
void tls_module_link_end(struct tls_link *l);

#endif
