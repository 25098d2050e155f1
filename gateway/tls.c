/* tls.c: see tls.h. A lock guards the context that new handshakes get; links hold what
 * they need of the one they began with. */
#define _GNU_SOURCE
#include "gateway/tls.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/secret.h"
#include "base/util.h"

enum { WHY = 512 };

struct tls {
	const struct tls_module *module;
	void *handle;                /* of dlopen; stays: libssl does not like to be unloaded */
	pthread_mutex_t lock;        /* guards context */
	struct tls_context *context;
};

/* --- options --- */

bool tls_options_given(const struct tls_options *o)
{
	return o->certs.n > 0 || o->keys.n > 0 || o->client_ca != NULL || o->client_auth != NULL;
}

static int client_auth(const struct tls_options *o, enum tls_client_auth *authp)
{
	static const struct {
		const char *name;
		enum tls_client_auth auth;
	} names[] = {
		{"off", TLS_CLIENT_NONE}, {"optional", TLS_CLIENT_OPTIONAL}, {"require", TLS_CLIENT_REQUIRED},
	};

	*authp = o->client_ca != NULL ? TLS_CLIENT_REQUIRED : TLS_CLIENT_NONE;
	if (o->client_auth == NULL)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(o->client_auth, names[i].name) == 0) {
			*authp = names[i].auth;
			return 0;
		}
	return -1;
}

int tls_options_check(const struct tls_options *o, enum tls_client_auth *authp, char *why, size_t size)
{
	if (client_auth(o, authp) < 0)
		snprintf(why, size, "--tls-client-auth %.64s: use off, optional or require", o->client_auth);
	else if (o->certs.n != o->keys.n)
		snprintf(why, size, "%zu --tls-cert and %zu --tls-key: give each certificate its key, in the "
			 "same order", o->certs.n, o->keys.n);
	else if (*authp != TLS_CLIENT_NONE && o->client_ca == NULL)
		snprintf(why, size, "--tls-client-auth %.64s needs --tls-client-ca FILE: whose certificates "
			 "count?", o->client_auth);
	else if (o->client_ca != NULL && o->certs.n == 0)
		snprintf(why, size, "--tls-client-ca needs --tls-cert and --tls-key: client certificates are a "
			 "part of TLS");
	else
		return 0;
	return -1;
}

/* --- the module --- */

/* Where libtool puts what is not installed yet: below us. */
static char *path_in_build(void)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	char *path, *slash;

	if (n <= 0)
		return NULL;
	self[n] = '\0';
	slash = strrchr(self, '/');
	path = xasprintf("%.*s/.libs/%s", (int)(slash - self), self, TLS_MODULE);
	if (access(path, R_OK) == 0)
		return path;
	free(path);
	return NULL;
}

static int module_load(struct tls *t, char *why, size_t size)
{
	AUTO_FREE char *built = path_in_build();
	const char *path = built != NULL ? built : PKGLIBDIR "/" TLS_MODULE;

	t->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	t->module = t->handle != NULL ? dlsym(t->handle, TLS_MODULE_SYMBOL) : NULL;
	if (t->module != NULL && t->module->abi == TLS_MODULE_ABI)
		return 0;
	if (t->module != NULL)
		snprintf(why, size, "%s is of another version: install it again with this gateway", path);
	else if (access(path, F_OK) != 0)
		snprintf(why, size, "%s is not there: this errand was built or installed without TLS; build it "
			 "with libssl (Debian: libssl-dev), or let a proxy in front do TLS", path);
	else
		snprintf(why, size, "cannot load TLS: %s", dlerror());
	return -1;
}

/* --- certificates --- */

static struct tls_context *context_new(const struct tls *t, const struct tls_options *o, char *why, size_t size)
{
	struct tls_files files = {o->certs.items, o->keys.items, o->certs.n, o->client_ca, TLS_CLIENT_NONE};
	struct tls_context *c = NULL;
	char about[WHY] = "";

	client_auth(o, &files.client_auth);
	if (t->module->context_new(&files, &c, about, why, size) < 0)
		return NULL;
	log_info("TLS certificates loaded", "%s", about);
	return c;
}

struct tls *tls_new(const struct tls_options *o, char *why, size_t size)
{
	struct tls *t = xcalloc(1, sizeof *t);

	pthread_mutex_init(&t->lock, NULL);
	secret_held();
	if (module_load(t, why, size) < 0 || (t->context = context_new(t, o, why, size)) == NULL)
		return tls_free(t);
	return t;
}

int tls_reload(struct tls *t, const struct tls_options *o)
{
	AUTO_BUF quoted = BUF_INIT;
	struct tls_context *fresh, *old;
	char why[WHY] = "";

	if (t == NULL)
		return 0;
	if (o->certs.n == 0) {
		log_error("TLS certificates not changed", "why=\"the listeners have TLS, but --tls-cert is gone: "
			  "that needs a restart\"");
		return -1;
	}
	fresh = context_new(t, o, why, sizeof why);
	if (fresh == NULL) {
		log_quote(&quoted, why, strlen(why));
		log_error("TLS certificates not changed", "why=%s", buf_cstr(&quoted));
		return -1;
	}
	pthread_mutex_lock(&t->lock);
	old = t->context;
	t->context = fresh;
	pthread_mutex_unlock(&t->lock);
	t->module->context_free(old);
	return 0;
}

struct tls *tls_free(struct tls *t)
{
	if (t == NULL)
		return NULL;
	if (t->context != NULL)
		t->module->context_free(t->context);
	pthread_mutex_destroy(&t->lock);
	free(t);
	return NULL;
}

/* --- links --- */

struct tls_link *tls_link_new(struct tls *t, struct event_base *base, int tcp, int plain,
			      const struct tls_timeouts *timeouts, const struct tls_link_ops *ops,
			      void *owner)
{
	struct tls_link *l;

	pthread_mutex_lock(&t->lock);
	l = t->module->link_new(t->context, base, tcp, plain, timeouts, ops, owner);
	pthread_mutex_unlock(&t->lock);
	return l;
}

void tls_link_end(const struct tls *t, struct tls_link *l)
{
	t->module->link_end(l);
}
