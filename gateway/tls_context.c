/* tls_context.c: certificates, keys and the rules of a handshake: TLS 1.2 with forward
 * secrecy and authenticated ciphers (Mozilla's "intermediate"), TLS 1.3; no renegotiation,
 * no compression, no early data; tickets whose keys live as long as the context.
 *
 * Made by one thread, read by all. Counted, since a handshake under way looks for the
 * certificate of the host its client names. */
#define _GNU_SOURCE
#include "gateway/tls_private.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"

struct tls_context {
	_Atomic unsigned n_refs;
	SSL_CTX **pairs; /* a certificate with its key each; the first is the default */
	size_t n;
};

/* What libssl says was wrong; the first error is the cause. */
static const char *ssl_why(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_error());

	return text != NULL ? text : "no reason given";
}

/* --- files --- */

/* A key is a secret: the mode is looked at through the descriptor it is read from. */
static int check_secret(const char *path, const struct stat *st, char *why, size_t size)
{
	if (st->st_mode & (S_IRWXO | S_IWGRP))
		return util_refuse(why, size, "--tls-key %.200s: its mode is %03o, so that others may read or change "
			      "it: chmod 600 it, or 640", path, (unsigned)st->st_mode & 0777);
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return util_refuse(why, size, "--tls-key %.200s belongs to user %u: it must be root's or ours", path,
			      (unsigned)st->st_uid);
	return 0;
}

static BIO *file_open(const char *option, const char *path, bool secret, char *why, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	FILE *file;
	BIO *bio;

	if (fd < 0) {
		util_refuse(why, size, "%s %.200s: %s", option, path, strerror(errno));
		return NULL;
	}
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		util_refuse(why, size, "%s %.200s: not a regular file", option, path);
		close(fd);
		return NULL;
	}
	if ((secret && check_secret(path, &st, why, size) < 0) || (file = fdopen(fd, "r")) == NULL) {
		close(fd);
		return NULL;
	}
	bio = BIO_new_fp(file, BIO_CLOSE);
	if (bio == NULL)
		fclose(file);
	return bio;
}

/* Nobody is there to be asked for a passphrase. */
static int no_passphrase(char *buf, int size, int writing, void *arg)
{
	return -1;
}

/* The server's own certificate, then those that lead to a root. */
static int load_chain(SSL_CTX *ctx, const char *path, char *why, size_t size)
{
	BIO *bio = file_open("--tls-cert", path, false, why, size);
	X509 *own = bio != NULL ? PEM_read_bio_X509_AUX(bio, NULL, no_passphrase, NULL) : NULL;
	X509 *more;
	int r = 0;

	if (bio == NULL)
		return -1;
	if (own == NULL || SSL_CTX_use_certificate(ctx, own) != 1)
		r = util_refuse(why, size, "--tls-cert %.200s: no certificate in PEM form (%s)", path, ssl_why());
	while (r == 0 && (more = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)) != NULL)
		if (SSL_CTX_add0_chain_cert(ctx, more) != 1) {
			X509_free(more);
			r = util_refuse(why, size, "--tls-cert %.200s: %s", path, ssl_why());
		}
	if (r == 0 && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		r = util_refuse(why, size, "--tls-cert %.200s: its chain cannot be read (%s)", path, ssl_why());
	ERR_clear_error();
	X509_free(own);
	BIO_free(bio);
	return r;
}

static int load_key(SSL_CTX *ctx, const char *cert, const char *path, char *why, size_t size)
{
	BIO *bio = file_open("--tls-key", path, true, why, size);
	EVP_PKEY *key = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
	int r = 0;

	if (bio == NULL)
		return -1;
	if (key == NULL)
		r = util_refuse(why, size, "--tls-key %.200s: no key in PEM form, or one with a passphrase (%s)",
			   path, ssl_why());
	else if (SSL_CTX_use_PrivateKey(ctx, key) != 1 || SSL_CTX_check_private_key(ctx) != 1)
		r = util_refuse(why, size, "--tls-key %.200s does not belong to --tls-cert %.200s", path, cert);
	ERR_clear_error();
	EVP_PKEY_free(key);
	BIO_free(bio);
	return r;
}

static int load_client_ca(SSL_CTX *ctx, const struct tls_files *f, char *why, size_t size)
{
	static const int modes[] = {
		[TLS_CLIENT_NONE] = SSL_VERIFY_NONE, [TLS_CLIENT_OPTIONAL] = SSL_VERIFY_PEER,
		[TLS_CLIENT_REQUIRED] = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
	};
	STACK_OF(X509_NAME) *names;

	if (f->client_ca == NULL || f->client_auth == TLS_CLIENT_NONE)
		return 0;
	names = SSL_load_client_CA_file(f->client_ca);
	if (names == NULL || SSL_CTX_load_verify_locations(ctx, f->client_ca, NULL) != 1) {
		util_refuse(why, size, "--tls-client-ca %.200s: no certificates in PEM form (%s)", f->client_ca,
		       ssl_why());
		sk_X509_NAME_pop_free(names, X509_NAME_free);
		ERR_clear_error();
		return -1;
	}
	SSL_CTX_set_client_CA_list(ctx, names); /* taken */
	SSL_CTX_set_verify(ctx, modes[f->client_auth], NULL);
	return 0;
}

/* --- rules --- */

/* HTTP/1.1, or no word about it; a client that speaks something else only is refused. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
			   const unsigned char *in, unsigned in_len, void *arg)
{
	static const unsigned char ours[] = "\x08http/1.1";

	if (SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_len, ours, sizeof ours - 1, in,
				  in_len) == OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_OK;
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* The certificate of the host the client names; the default for any other. */
static int choose_certificate(SSL *ssl, int *alert, void *arg)
{
	const struct tls_context *c = arg;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	if (name == NULL)
		return SSL_TLSEXT_ERR_NOACK;
	for (size_t i = 0; i < c->n; i++)
		if (X509_check_host(SSL_CTX_get0_certificate(c->pairs[i]), name, 0, 0, NULL) == 1) {
			SSL_set_SSL_CTX(ssl, c->pairs[i]);
			return SSL_TLSEXT_ERR_OK;
		}
	return SSL_TLSEXT_ERR_NOACK;
}

static bool set_rules(SSL_CTX *ctx, struct tls_context *c)
{
	static const char suites[] =
		"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
		"ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
	static const unsigned char session_id[] = "errand-gateway";

	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
				 SSL_OP_IGNORE_UNEXPECTED_EOF); /* HTTP tells where it ends */
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
			      SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets: nothing is kept here */
	SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
	SSL_CTX_set_tlsext_servername_callback(ctx, choose_certificate);
	SSL_CTX_set_tlsext_servername_arg(ctx, c);
	return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
	       SSL_CTX_set_cipher_list(ctx, suites) == 1 &&
	       SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384") == 1 &&
	       SSL_CTX_set_session_id_context(ctx, session_id, sizeof session_id - 1) == 1;
}

/* --- its life --- */

static SSL_CTX *pair_new(struct tls_context *c, const struct tls_files *f, size_t i, char *why, size_t size)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	ERR_clear_error();
	if (ctx == NULL || !set_rules(ctx, c))
		util_refuse(why, size, "libssl cannot be set up: %s", ssl_why());
	else if (load_chain(ctx, f->certs[i], why, size) == 0 &&
		 load_key(ctx, f->certs[i], f->keys[i], why, size) == 0 &&
		 load_client_ca(ctx, f, why, size) == 0)
		return ctx;
	SSL_CTX_free(ctx);
	return NULL;
}

/* For the log: when does the first of them expire? */
static void describe(const struct tls_context *c, char *about, size_t size)
{
	const ASN1_TIME *first = NULL;
	struct tm tm = {0};
	char date[32] = "never";

	for (size_t i = 0; i < c->n; i++) {
		const ASN1_TIME *end = X509_get0_notAfter(SSL_CTX_get0_certificate(c->pairs[i]));

		if (first == NULL || ASN1_TIME_compare(end, first) < 0)
			first = end;
	}
	if (first != NULL && ASN1_TIME_to_tm(first, &tm) == 1)
		strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &tm);
	snprintf(about, size, "certificates=%zu expires=%s%s", c->n, date,
		 first != NULL && X509_cmp_current_time(first) < 0 ? " expired=true" : "");
}

int tls_context_new(const struct tls_files *files, struct tls_context **out, char *about, char *why,
		    size_t size)
{
	struct tls_context *c = xcalloc(1, sizeof *c);

	c->n_refs = 1;
	c->pairs = xcalloc(files->n, sizeof(SSL_CTX *));
	while (c->n < files->n && (c->pairs[c->n] = pair_new(c, files, c->n, why, size)) != NULL)
		c->n++;
	if (c->n < files->n) {
		tls_context_unref(c);
		return -1;
	}
	describe(c, about, size);
	*out = c;
	return 0;
}

struct tls_context *tls_context_ref(struct tls_context *c)
{
	atomic_fetch_add(&c->n_refs, 1);
	return c;
}

struct tls_context *tls_context_unref(struct tls_context *c)
{
	if (atomic_fetch_sub(&c->n_refs, 1) != 1)
		return NULL;
	for (size_t i = 0; i < c->n; i++)
		SSL_CTX_free(c->pairs[i]);
	free(c->pairs);
	free(c);
	return NULL;
}

SSL *tls_context_session(const struct tls_context *c)
{
	return SSL_new(c->pairs[0]);
}

/* --- clients --- */

/* Copies a name that is short, printable and has no NUL inside. */
static bool name_take(const ASN1_STRING *text, char name[TLS_NAME_MAX + 1])
{
	unsigned char *utf8 = NULL;
	int len = ASN1_STRING_to_UTF8(&utf8, text);
	bool good = len > 0 && len <= TLS_NAME_MAX;

	for (int i = 0; good && i < len; i++)
		good = utf8[i] >= ' ' && utf8[i] < 0x7f;
	if (good) {
		memcpy(name, utf8, (size_t)len);
		name[len] = '\0';
	}
	OPENSSL_free(utf8);
	return good;
}

static bool name_of_subject(const X509 *cert, char name[TLS_NAME_MAX + 1])
{
	const X509_NAME *subject = X509_get_subject_name(cert);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

	return at >= 0 && name_take(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)), name);
}

/* Its first name that is a text: of a host, a mailbox, a URI. */
static bool name_of_others(const X509 *cert, char name[TLS_NAME_MAX + 1])
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	bool found = false;

	for (int i = 0; !found && i < sk_GENERAL_NAME_num(names); i++) {
		int type;
		const void *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);

		if (type == GEN_DNS || type == GEN_EMAIL || type == GEN_URI)
			found = name_take(value, name);
	}
	GENERAL_NAMES_free(names);
	return found;
}

int tls_client_name(const SSL *ssl, char name[TLS_NAME_MAX + 1])
{
	X509 *cert = SSL_get1_peer_certificate(ssl);
	bool found;

	if (cert == NULL)
		return 0;
	found = name_of_subject(cert, name) || name_of_others(cert, name);
	X509_free(cert);
	return found ? 1 : -1;
}
