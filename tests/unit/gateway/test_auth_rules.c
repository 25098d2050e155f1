/* Who may do what, by a configuration and a file of tokens: scopes of tokens, users, certificates and of nobody, what is
 * refused with its place, and which rules count when the file and the configuration change at once. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/util.h"
#include "gateway/auth_rules.h"
#include "gateway/exchange.h"

#define READ SCOPE_BIT(SCOPE_READ)
#define CALL SCOPE_BIT(SCOPE_CALL)
#define OPERATE SCOPE_BIT(SCOPE_OPERATE)
#define TASK SCOPE_BIT(SCOPE_TASK)

static char dir[] = "/tmp/errand-rules-XXXXXX", path[64];

static int make_dir(void **state)
{
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof path, "%s/tokens", dir);
	return 0;
}

static int remove_dir(void **state)
{
	auth_deinit();
	unlink(path);
	return rmdir(dir);
}

/* --- the file --- */

enum { MANY = 300 };
static char text[MANY][TOKEN_LEN + 1]; /* of the tokens, by their number */

static void put_line(FILE *f, const struct token *t, const char *scopes, const char *expires, const char *revoked,
		     const char *name)
{
	fprintf(f, "%s ", t->id);
	for (size_t i = 0; i < TOKEN_HASH; i++)
		fprintf(f, "%02x", t->hash[i]);
	fprintf(f, " %s 2026-11-23T02:00:00Z %s %s %s\n", scopes, expires, revoked, name);
}

/* The i-th token of a new file, or of one that is there; as `errand token` does it. */
static void put_token(size_t i, const char *scopes, const char *expires, const char *revoked, const char *name)
{
	char new[80];
	struct token t;
	FILE *f = fopen(path, "r"), *out;
	int c;

	snprintf(new, sizeof new, "%s.new", path);
	out = fopen(new, "w");
	assert_non_null(out);
	for (; f != NULL && (c = getc(f)) != EOF;)
		putc(c, out);
	if (f != NULL)
		fclose(f);
	assert_int_equal(token_make(&t, text[i]), 0);
	put_line(out, &t, scopes, expires, revoked, name);
	fclose(out);
	chmod(new, 0600);
	assert_int_equal(rename(new, path), 0);
}

/* --- the configuration --- */

static struct gateway_config config(const char *anonymous, const char *const *certs, const char *const *peers)
{
	struct gateway_config c = {.tokens = path, .anonymous = anonymous};

	for (; certs != NULL && certs[c.certs.n] != NULL; c.certs.n++)
		;
	for (; peers != NULL && peers[c.peers.n] != NULL; c.peers.n++)
		;
	c.certs.items = (const char **)certs;
	c.peers.items = (const char **)peers;
	return c;
}

static struct auth_rules *load(const struct gateway_config *c)
{
	char why[512] = "";

	if (auth_load(c, why, sizeof why) < 0)
		fail_msg("%s", why);
	return auth_rules_get(c);
}

static void refused(const struct gateway_config *c, const char *said)
{
	char why[512] = "";

	assert_true(auth_load(c, why, sizeof why) < 0);
	if (strstr(why, said) == NULL)
		fail_msg("not %s: %s", said, why);
}

static bool may(const struct grants *g, unsigned scopes, const char *service)
{
	return g != NULL && grants_allow(g, scopes, service);
}

static const struct grants *grants_of(const struct auth_rules *rules, size_t i)
{
	const struct token *t = auth_rules_token(rules, text[i], TOKEN_LEN);

	return t != NULL ? &t->grants : NULL;
}

/* --- tokens --- */

static void tokens_have_their_scopes(void **state)
{
	static const char *const scopes[] = {"read", "call", "call:shop.v1.Shop", "operate", "read,call:shop.v1.Shop",
					     "call:shop.v1.Shop,call:shop.v1.Till"};
	static const struct {
		unsigned wanted;
		const char *service;
		bool good[ARRAY_LEN(scopes)];
	} rows[] = {
		{READ, "errand.v1.Tasks", {true, false, false, true, true, false}},
		{CALL, "shop.v1.Shop", {false, true, true, true, true, true}},
		{0, "shop.v1.Shop", {false, true, true, true, true, true}},
		{CALL, "shop.v1.Till", {false, true, false, true, false, true}},
		{CALL, "shop.v1.Sho", {false, true, false, true, false, false}},
		{CALL, "Shop.v1.Shop", {false, true, false, true, false, false}},
		{OPERATE, "errand.v1.Queues", {false, false, false, true, false, false}},
		{OPERATE, "shop.v1.Shop", {false, false, false, true, false, false}},
		{READ | TASK, "errand.v1.Tasks", {true, true, true, true, true, true}},
	};
	const struct gateway_config c = config(NULL, NULL, NULL);
	struct auth_rules *rules;
	char name[8];

	unlink(path);
	for (size_t i = 0; i < ARRAY_LEN(scopes); i++) {
		snprintf(name, sizeof name, "t%zu", i);
		put_token(i, scopes[i], "-", "-", name);
	}
	rules = load(&c);
	assert_true(auth_is_required());
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (size_t j = 0; j < ARRAY_LEN(scopes); j++)
			if (may(grants_of(rules, j), rows[i].wanted, rows[i].service) != rows[i].good[j])
				fail_msg("%s: %s, %x", scopes[j], rows[i].service, rows[i].wanted);
	auth_rules_unref(rules);
}

/* More than one with the same first byte; none that is nearly one. */
static void each_is_found_and_no_other(void **state)
{
	const struct gateway_config c = config(NULL, NULL, NULL);
	struct auth_rules *rules;
	char name[8], wrong[TOKEN_LEN + 2];

	unlink(path);
	for (size_t i = 0; i < MANY; i++) {
		snprintf(name, sizeof name, "t%zu", i);
		put_token(i, "read", "-", "-", name);
	}
	rules = load(&c);
	for (size_t i = 0; i < MANY; i++) {
		const struct token *t = auth_rules_token(rules, text[i], TOKEN_LEN);

		snprintf(name, sizeof name, "t%zu", i);
		assert_non_null(t);
		assert_string_equal(t->name, name);
		assert_ptr_equal(auth_rules_hash(rules, t->hash), t);
		snprintf(wrong, sizeof wrong, "%s", text[i]);
		wrong[4 + i % 42] ^= 1;
		assert_null(auth_rules_token(rules, wrong, TOKEN_LEN));
	}
	snprintf(wrong, sizeof wrong, "%sA", text[0]);
	assert_null(auth_rules_token(rules, wrong, TOKEN_LEN + 1));
	assert_null(auth_rules_token(rules, text[0], TOKEN_LEN - 1));
	assert_null(auth_rules_token(rules, text[0] + 4, TOKEN_LEN - 4));
	assert_null(auth_rules_token(rules, "", 0));
	auth_rules_unref(rules);
}

/* Those that do not count are found all the same, so that it can be said why. */
static void ends(void **state)
{
	static const int64_t at = 1795392000; /* 2026-11-23T00:00:00Z */
	const struct gateway_config c = config(NULL, NULL, NULL);
	struct auth_rules *rules;
	const struct token *expires, *revoked, *both, *neither;

	unlink(path);
	put_token(0, "read", "2026-11-23T00:00:00Z", "-", "expires");
	put_token(1, "read", "-", "2020-01-01T00:00:00Z", "revoked");
	put_token(2, "read", "2026-11-23T00:00:00Z", "2020-01-01T00:00:00Z", "both");
	put_token(3, "read", "-", "-", "neither");
	rules = load(&c);
	expires = auth_rules_token(rules, text[0], TOKEN_LEN);
	revoked = auth_rules_token(rules, text[1], TOKEN_LEN);
	both = auth_rules_token(rules, text[2], TOKEN_LEN);
	neither = auth_rules_token(rules, text[3], TOKEN_LEN);
	assert_null(token_ended(expires, at - 1));
	assert_string_equal(token_ended(expires, at), "the token has expired"); /* in its last second no more */
	assert_string_equal(token_ended(expires, at + 1), "the token has expired");
	assert_string_equal(token_ended(revoked, 0), "the token was revoked");
	assert_string_equal(token_ended(both, at + 1), "the token was revoked");
	assert_null(token_ended(neither, INT64_MAX));
	auth_rules_unref(rules);
}

static void append(const char *line)
{
	FILE *f = fopen(path, "a");

	assert_non_null(f);
	fputs(line, f);
	fclose(f);
}

static void faults_have_their_place(void **state)
{
	const struct gateway_config c = config("read", NULL, NULL);
	char line[512], said[128];
	FILE *f;

	unlink(path);
	refused(&c, "No such file");
	put_token(0, "read", "-", "-", "a");
	f = fopen(path, "r");
	assert_non_null(fgets(line, sizeof line, f));
	fclose(f);
	append("\n# the same once more\n");
	append(line);
	snprintf(said, sizeof said, "%s:4: the token %.12s is there already, as a", path, line);
	refused(&c, said);
	unlink(path);
	put_token(0, "read", "-", "-", "a");
	append("\n");
	put_token(1, "reed", "-", "-", "b");
	snprintf(said, sizeof said, "%s:3: there is no scope reed", path);
	refused(&c, said);
	unlink(path);
	put_token(0, "read", "-", "-", "a");
	append("nonsense");
	snprintf(said, sizeof said, "%s:2: a line is ID SHA256", path);
	refused(&c, said);
}

/* --- who has none --- */

static void users_certificates_and_nobody(void **state)
{
	static const char *const certs[] = {"ci.example=call:shop.v1.Shop", "a=b=read", "ops=operate", "ops=read", NULL};
	static const char *const peers[] = {"nobody=read", "4242=call", "root=read", NULL};
	const struct gateway_config c = config("read:docs.v1.Docs", certs, peers);
	struct auth_rules *rules;

	unlink(path);
	put_token(0, "read", "-", "-", "a");
	rules = load(&c);
	assert_true(may(auth_rules_cert(rules, "ci.example"), CALL, "shop.v1.Shop"));
	assert_false(may(auth_rules_cert(rules, "ci.example"), CALL, "shop.v1.Till"));
	assert_true(may(auth_rules_cert(rules, "a=b"), READ, "x.y"));
	assert_true(may(auth_rules_cert(rules, "ops"), OPERATE, "x.y")); /* the first */
	assert_null(auth_rules_cert(rules, "CI.example"));
	assert_null(auth_rules_cert(rules, "ci.example.evil"));
	assert_null(auth_rules_cert(rules, "a"));
	assert_null(auth_rules_cert(rules, ""));
	assert_true(may(auth_rules_peer(rules, 4242), CALL, "x.y"));
	assert_false(may(auth_rules_peer(rules, 4242), READ, "x.y"));
	assert_true(may(auth_rules_peer(rules, 65534), READ, "x.y"));
	assert_false(may(auth_rules_peer(rules, 65534), CALL, "x.y"));
	assert_false(may(auth_rules_peer(rules, 0), OPERATE, "x.y")); /* as it was told of root */
	assert_null(auth_rules_peer(rules, 4243));
	assert_true(may(auth_rules_anonymous(rules), READ, "docs.v1.Docs"));
	assert_false(may(auth_rules_anonymous(rules), READ, "errand.v1.Tasks"));
	auth_rules_unref(rules);
}

static void our_own_user_may_do_all(void **state)
{
	const struct gateway_config c = config("none", NULL, NULL);
	struct auth_rules *rules;

	unlink(path);
	put_token(0, "read", "-", "-", "a");
	rules = load(&c);
	assert_true(may(auth_rules_peer(rules, 0), OPERATE, "x.y"));
	assert_true(may(auth_rules_peer(rules, geteuid()), OPERATE, "x.y"));
	assert_int_equal(auth_rules_anonymous(rules)->n, 0);
	auth_rules_unref(rules);
}

static void options_that_are_wrong(void **state)
{
	static const struct {
		const char *anonymous, *cert, *peer, *said;
	} rows[] = {
		{"reads", NULL, NULL, "--anonymous reads: there is no scope reads"},
		{"", NULL, NULL, "no scope"},
		{NULL, "ci", NULL, "--cert ci: write NAME=SCOPES"},
		{NULL, "=read", NULL, "--cert =read: write NAME=SCOPES"},
		{NULL, "ci=", NULL, "--cert ci=: no scope"},
		{NULL, "ci=operate:a.B", NULL, "--cert ci=operate:a.B: scope operate:a.B"},
		{NULL, NULL, "no-such-user-here=read", "there is no user no-such-user-here"},
		{NULL, NULL, "-1=read", "there is no user -1"},
		{NULL, NULL, "4294967295=read", "there is no user 4294967295"},
		{NULL, NULL, "12x=read", "there is no user 12x"},
		{NULL, NULL, "root", "--peer root: write USER=SCOPES"},
	};

	unlink(path);
	put_token(0, "read", "-", "-", "a");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *const cert[] = {rows[i].cert, NULL}, *const peer[] = {rows[i].peer, NULL};
		const struct gateway_config c = config(rows[i].anonymous, cert, peer);

		refused(&c, rows[i].said);
	}
}

static void nothing_asked_of_anybody(void **state)
{
	const struct gateway_config none = {0}, nobody = {.anonymous = "none"};

	auth_rules_unref(load(&none));
	assert_false(auth_is_required());
	auth_rules_unref(load(&nobody));
	assert_true(auth_is_required());
}

/* --- changes --- */

static void wait_for_look(void)
{
	const struct timespec ts = {0, AUTH_LOOK_NS + 20000000};

	nanosleep(&ts, NULL);
}

static bool knows(const struct gateway_config *c, size_t i)
{
	struct auth_rules *rules = auth_rules_get(c);
	bool found = auth_rules_token(rules, text[i], TOKEN_LEN) != NULL;

	auth_rules_unref(rules);
	return found;
}

static bool anonymous_may(const struct gateway_config *c, unsigned scopes)
{
	struct auth_rules *rules = auth_rules_get(c);
	bool good = may(auth_rules_anonymous(rules), scopes, "x.y");

	auth_rules_unref(rules);
	return good;
}

static void a_request_keeps_its_rules(void **state)
{
	const struct gateway_config c = config(NULL, NULL, NULL);
	struct auth_rules *mine;

	unlink(path);
	put_token(0, "read", "-", "-", "a");
	mine = load(&c);
	unlink(path);
	put_token(1, "read", "-", "-", "b");
	wait_for_look();
	assert_true(knows(&c, 1));
	assert_false(knows(&c, 0));
	assert_non_null(auth_rules_token(mine, text[0], TOKEN_LEN));
	auth_rules_unref(mine);
}

/* SIGHUP has brought `next`, the file has changed as well, and a thread that still has `former` is the first to look. */
static void the_former_configuration_does_not_come_back(void **state)
{
	const struct gateway_config former = config("call", NULL, NULL), next = config("read", NULL, NULL);

	unlink(path);
	put_token(0, "read", "-", "-", "a");
	auth_rules_unref(load(&former));
	assert_true(anonymous_may(&former, CALL));
	auth_rules_unref(load(&next));
	put_token(1, "read", "-", "-", "b");
	wait_for_look();
	assert_false(anonymous_may(&former, CALL));
	assert_true(anonymous_may(&former, READ));
	wait_for_look();
	assert_true(knows(&next, 1)); /* who has it sees the file's change */
	assert_false(anonymous_may(&next, CALL));
}

/* One without tokens: nobody would look again, so it would have been for good. */
static void nor_does_its_file(void **state)
{
	const struct gateway_config former = config(NULL, NULL, NULL), next = {.anonymous = "read"};

	unlink(path);
	put_token(0, "operate", "-", "-", "a");
	auth_rules_unref(load(&former));
	auth_rules_unref(load(&next));
	put_token(1, "read", "-", "-", "b");
	wait_for_look();
	assert_false(knows(&former, 0));
	assert_false(knows(&next, 0));
	assert_true(anonymous_may(&next, READ));
}

/* What SIGHUP could not use leaves all as it was: the former configuration counts, and sees when its file is mended. */
static void what_cannot_be_used(void **state)
{
	const struct gateway_config former = config("call", NULL, NULL), next = config("read", NULL, NULL);
	char why[512];

	unlink(path);
	put_token(0, "read", "-", "-", "a");
	auth_rules_unref(load(&former));
	append("nonsense\n");
	assert_true(auth_load(&next, why, sizeof why) < 0);
	assert_true(anonymous_may(&former, CALL));
	wait_for_look();
	assert_true(knows(&former, 0));
	unlink(path);
	put_token(1, "read", "-", "-", "b");
	wait_for_look();
	assert_true(knows(&former, 1));
	assert_true(anonymous_may(&former, CALL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tokens_have_their_scopes),
		cmocka_unit_test(each_is_found_and_no_other),
		cmocka_unit_test(ends),
		cmocka_unit_test(faults_have_their_place),
		cmocka_unit_test(users_certificates_and_nobody),
		cmocka_unit_test(our_own_user_may_do_all),
		cmocka_unit_test(options_that_are_wrong),
		cmocka_unit_test(nothing_asked_of_anybody),
		cmocka_unit_test(a_request_keeps_its_rules),
		cmocka_unit_test(the_former_configuration_does_not_come_back),
		cmocka_unit_test(nor_does_its_file),
		cmocka_unit_test(what_cannot_be_used),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
