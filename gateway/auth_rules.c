/* auth_rules.c: see auth_rules.h. Tokens are looked for by the first byte of their hash, which tells nobody
 * anything of the token, and compared in constant time. */
#define _GNU_SOURCE
#include "gateway/auth_rules.h"

#include <errno.h>
#include <pthread.h>
#include <pwd.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/secret.h"
#include "gateway/exchange.h"

struct named {
	char *name;          /* of a certificate; owned */
	uid_t uid;           /* of a peer */
	struct grants grants;
};

struct auth_rules {
	_Atomic unsigned refs;
	struct token_file file;
	uint16_t *by_byte[256]; /* indices of tokens whose hash begins so; owned */
	size_t n_by_byte[256];
	struct named *certs, *peers; /* n_certs, n_peers */
	size_t n_certs, n_peers;
	struct grants anonymous;
};

/* The file as it was when it was read, or could not be. */
struct look {
	ino_t inode;
	off_t size;
	struct timespec changed;
	bool there;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards these three */
static struct auth_rules *newest;
static struct look last;
/* By which newest is made. A thread that has not taken it yet, after SIGHUP, must not look: it would bring back the
 * rules of the one before. Compared only; main keeps a configuration until all threads have the next. */
static const struct gateway_config *current;
static _Atomic bool required;
static _Atomic int64_t looked_ns;

/* --- making --- */

static void named_free(struct named *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(list[i].name);
		grants_deinit(&list[i].grants);
	}
	free(list);
}

static void rules_free(struct auth_rules *rules)
{
	token_file_deinit(&rules->file);
	for (size_t i = 0; i < ARRAY_LEN(rules->by_byte); i++)
		free(rules->by_byte[i]);
	named_free(rules->certs, rules->n_certs);
	named_free(rules->peers, rules->n_peers);
	grants_deinit(&rules->anonymous);
	free(rules);
}

void auth_rules_unref(struct auth_rules *rules)
{
	if (rules != NULL && atomic_fetch_sub(&rules->refs, 1) == 1)
		rules_free(rules);
}

static void index_tokens(struct auth_rules *rules)
{
	for (size_t i = 0; i < rules->file.n; i++) {
		uint8_t b = rules->file.items[i].hash[0];

		rules->by_byte[b] = xrealloc(rules->by_byte[b], (rules->n_by_byte[b] + 1) * sizeof(uint16_t));
		rules->by_byte[b][rules->n_by_byte[b]++] = (uint16_t)i;
	}
}

static int find_uid(const char *user, uid_t *out, char *why, size_t why_size)
{
	const struct passwd *pw;
	char *end;
	long n = strtol(user, &end, 10);

	pw = *user >= '0' && *user <= '9' && *end == '\0' ? NULL : getpwnam(user);
	if (pw == NULL && (*end != '\0' || n < 0 || n > (long)UINT32_MAX - 1)) {
		snprintf(why, why_size, "there is no user %s", user);
		return -1;
	}
	*out = pw != NULL ? pw->pw_uid : (uid_t)n;
	return 0;
}

/* NAME=SCOPES of --cert and --peer. The name may have "=" in it. */
static int add_named(struct named **list, size_t *np, const char *option, const char *text, bool is_user, char *why,
		     size_t why_size)
{
	const char *equals = strrchr(text, '=');
	char what[200];
	struct named *n;

	if (equals == NULL || equals == text || equals - text > AUTH_NAME_MAX - 5) {
		snprintf(why, why_size, "--%s %s: write %s=SCOPES", option, text, is_user ? "USER" : "NAME");
		return -1;
	}
	*list = xrealloc(*list, (*np + 1) * sizeof **list);
	n = &(*list)[(*np)++];
	*n = (struct named){.name = xstrndup(text, (size_t)(equals - text))};
	if ((is_user && find_uid(n->name, &n->uid, what, sizeof what) < 0) ||
	    grants_parse(&n->grants, equals + 1, what, sizeof what) < 0) {
		snprintf(why, why_size, "--%s %s: %s", option, text, what);
		return -1;
	}
	return 0;
}

static int read_config(struct auth_rules *rules, const struct gateway_config *c, char *why, size_t why_size)
{
	char what[200];

	for (size_t i = 0; i < c->certs.n; i++)
		if (add_named(&rules->certs, &rules->n_certs, "cert", c->certs.items[i], false, why, why_size) < 0)
			return -1;
	for (size_t i = 0; i < c->peers.n; i++)
		if (add_named(&rules->peers, &rules->n_peers, "peer", c->peers.items[i], true, why, why_size) < 0)
			return -1;
	if (c->anonymous != NULL && strcmp(c->anonymous, "none") != 0 &&
	    grants_parse(&rules->anonymous, c->anonymous, what, sizeof what) < 0) {
		snprintf(why, why_size, "--anonymous %s: %s", c->anonymous, what);
		return -1;
	}
	return 0;
}

static void add_own(struct auth_rules *rules)
{
	const uid_t own[] = {0, geteuid()};

	for (size_t i = 0; i < ARRAY_LEN(own); i++) {
		struct named n = {.uid = own[i]};

		grants_add(&n.grants, SCOPE_OPERATE, NULL);
		rules->peers = xrealloc(rules->peers, (rules->n_peers + 1) * sizeof *rules->peers);
		rules->peers[rules->n_peers++] = n;
	}
}

static struct auth_rules *rules_new(const struct gateway_config *c, char *why, size_t why_size)
{
	struct auth_rules *rules = xcalloc(1, sizeof *rules);

	rules->refs = 1;
	if (read_config(rules, c, why, why_size) < 0 ||
	    (c->tokens != NULL && token_file_read(c->tokens, &rules->file, why, why_size) < 0)) {
		rules_free(rules);
		return NULL;
	}
	add_own(rules);
	index_tokens(rules);
	return rules;
}

/* --- the newest --- */

static struct look look_at(const char *path)
{
	struct stat st;
	struct look l = {0};

	if (path != NULL && stat(path, &st) == 0)
		l = (struct look){st.st_ino, st.st_size, st.st_ctim, true};
	return l;
}

static bool same_look(const struct look *a, const struct look *b)
{
	return a->there == b->there && a->inode == b->inode && a->size == b->size &&
	       a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

/* With the lock. Takes rules; gives those that are not needed any more. */
static struct auth_rules *publish(const struct gateway_config *c, struct auth_rules *rules, const struct look *now)
{
	struct auth_rules *old = newest;

	newest = rules;
	last = *now;
	atomic_store(&required, c->tokens != NULL || c->anonymous != NULL || c->peers.n > 0 || c->certs.n > 0);
	return old;
}

int auth_load(const struct gateway_config *c, char *why, size_t why_size)
{
	struct look now = look_at(c->tokens); /* before it is read: what comes between is seen next time */
	struct auth_rules *rules = rules_new(c, why, why_size), *old;

	if (rules == NULL)
		return -1;
	if (c->tokens != NULL)
		secret_held(); /* requests have them */
	pthread_mutex_lock(&lock);
	current = c;
	old = publish(c, rules, &now);
	pthread_mutex_unlock(&lock);
	auth_rules_unref(old);
	return 0;
}

void auth_deinit(void)
{
	auth_rules_unref(newest);
	newest = NULL;
	current = NULL;
	required = false;
}

bool auth_is_required(void)
{
	return atomic_load_explicit(&required, memory_order_relaxed);
}

/* What cannot be read is told once, and again when it has changed. */
static bool look_changed(const struct gateway_config *c, const struct look *now)
{
	bool changed;

	pthread_mutex_lock(&lock);
	changed = c == current && !same_look(now, &last);
	if (changed)
		last = *now;
	pthread_mutex_unlock(&lock);
	return changed;
}

static void look_again(const struct gateway_config *c)
{
	struct look now = look_at(c->tokens);
	struct auth_rules *rules;
	char why[512];

	if (!look_changed(c, &now))
		return;
	rules = rules_new(c, why, sizeof why);
	if (rules == NULL)
		log_error("tokens: the former ones stay", "reason=\"%s\"", why);
	else
		log_info("tokens read again", "file=%s", c->tokens);
	pthread_mutex_lock(&lock);
	if (rules != NULL && c == current) /* SIGHUP did not come meanwhile */
		rules = publish(c, rules, &now);
	pthread_mutex_unlock(&lock);
	auth_rules_unref(rules);
}

struct auth_rules *auth_rules_get(const struct gateway_config *c)
{
	int64_t now = clock_mono_ns(), then = atomic_load_explicit(&looked_ns, memory_order_relaxed);
	struct auth_rules *rules;

	if (c->tokens != NULL && now - then >= AUTH_LOOK_NS && atomic_compare_exchange_strong(&looked_ns, &then, now))
		look_again(c);
	pthread_mutex_lock(&lock);
	rules = newest;
	atomic_fetch_add(&rules->refs, 1);
	pthread_mutex_unlock(&lock);
	return rules;
}

/* --- asking --- */

const struct token *auth_rules_hash(const struct auth_rules *rules, const uint8_t hash[TOKEN_HASH])
{
	const struct token *found = NULL;

	for (size_t i = 0; i < rules->n_by_byte[hash[0]]; i++) {
		const struct token *t = &rules->file.items[rules->by_byte[hash[0]][i]];

		if (token_same(t->hash, hash))
			found = t;
	}
	return found;
}

const struct token *auth_rules_token(const struct auth_rules *rules, const char *text, size_t len)
{
	uint8_t hash[TOKEN_HASH];

	if (!token_is(text, len))
		return NULL;
	token_hash(text, len, hash);
	return auth_rules_hash(rules, hash);
}

const struct grants *auth_rules_cert(const struct auth_rules *rules, const char *name)
{
	for (size_t i = 0; i < rules->n_certs; i++)
		if (strcmp(rules->certs[i].name, name) == 0)
			return &rules->certs[i].grants;
	return NULL;
}

const struct grants *auth_rules_peer(const struct auth_rules *rules, uid_t uid)
{
	for (size_t i = 0; i < rules->n_peers; i++)
		if (rules->peers[i].uid == uid)
			return &rules->peers[i].grants;
	return NULL;
}

const struct grants *auth_rules_anonymous(const struct auth_rules *rules)
{
	return &rules->anonymous;
}
