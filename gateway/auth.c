/* auth.c: see auth.h; auth_rules.c makes the rules. */
#define _GNU_SOURCE
#include "gateway/auth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "errand/status.h"
#include "gateway/auth_rules.h"
#include "gateway/exchange.h"
#include "gateway/problem.h"

#define REALM "Bearer realm=\"errand\""

/* --- the answers --- */

static bool refuse_unknown(struct http_request *r, const char *error, const char *detail)
{
	char challenge[256];

	snprintf(challenge, sizeof challenge, REALM "%s%s%s", error != NULL ? ", error=\"" : "",
		 error != NULL ? error : "", error != NULL ? "\"" : "");
	http_set_header(r, "WWW-Authenticate", challenge);
	http_set_header(r, "Cache-Control", "no-store");
	problem_reply(r, 401, ERRAND_UNAUTHENTICATED, "%s", detail);
	return false;
}

bool auth_permit(const struct auth_client *client, struct http_request *r, unsigned scopes, const char *service)
{
	char challenge[256];
	const char *wanted = grants_wanted(scopes);

	if (client->grants == NULL || grants_allow(client->grants, scopes, service))
		return true;
	if (!client->known)
		return refuse_unknown(r, NULL, "this needs a token: Authorization: Bearer erd_...");
	snprintf(challenge, sizeof challenge, REALM ", error=\"insufficient_scope\", scope=\"%s\"", wanted);
	http_set_header(r, "WWW-Authenticate", challenge);
	http_set_header(r, "Cache-Control", "no-store");
	problem_reply(r, 403, ERRAND_PERMISSION_DENIED, "this needs the scope %s, which %s does not have", wanted,
		      client->name);
	return false;
}

/* --- who it is --- */

/* The token of "Bearer TOKEN"; empty when it is not that. */
static struct bytes bearer(const char *header)
{
	size_t len;

	if (strncasecmp(header, "Bearer ", 7) != 0)
		return (struct bytes){NULL, 0};
	header += 7 + strspn(header + 7, " ");
	len = strlen(header);
	while (len > 0 && header[len - 1] == ' ')
		len--;
	return (struct bytes){(const uint8_t *)header, len};
}

/* Who says to be somebody too often, and is not, is not even told so. */
static bool refuse_wrong(struct http_request *r, const struct gateway_config *c, const char *error, const char *detail)
{
	return rate_admit_failure(r, &c->failures) && refuse_unknown(r, error, detail);
}

static bool identify_token(struct auth_client *out, struct http_request *r, const struct gateway_config *c,
			   const char *header)
{
	struct bytes text = bearer(header);
	const struct token *t;
	const char *ended;

	if (text.len == 0 || http_header_nth(r, "Authorization", 1) != NULL)
		return refuse_wrong(r, c, "invalid_request", "Authorization: Bearer erd_..., once");
	t = auth_rules_token(out->rules, (const char *)text.data, text.len);
	if (t == NULL)
		return refuse_wrong(r, c, "invalid_token", "there is no such token");
	ended = token_ended(t, (int64_t)time(NULL));
	if (ended != NULL)
		return refuse_wrong(r, c, "invalid_token", ended);
	snprintf(out->name, sizeof out->name, "token:%s", t->name);
	out->token = t;
	out->grants = &t->grants;
	return true;
}

static bool identify(struct auth_client *out, struct http_request *r, const struct gateway_config *c)
{
	const char *header = http_header(r, "Authorization"), *cert = http_peer_cert(r);
	int64_t uid = http_peer_uid(r);

	out->known = true;
	if (header != NULL)
		return identify_token(out, r, c, header);
	if (cert != NULL && (out->grants = auth_rules_cert(out->rules, cert)) != NULL) {
		snprintf(out->name, sizeof out->name, "cert:%s", cert);
		return true;
	}
	if (uid >= 0 && (out->grants = auth_rules_peer(out->rules, (uid_t)uid)) != NULL) {
		snprintf(out->name, sizeof out->name, "uid:%lld", (long long)uid);
		return true;
	}
	out->known = false;
	out->grants = auth_rules_anonymous(out->rules);
	strcpy(out->name, "anonymous");
	if (out->grants->n > 0)
		return true;
	return rate_admit(r, &c->rate, "") &&
	       refuse_unknown(r, NULL, "this needs a token: Authorization: Bearer erd_...");
}

bool auth_identify(struct auth_client *out, struct http_request *r, const struct gateway_config *c)
{
	const char *cert = http_peer_cert(r);
	int64_t uid = http_peer_uid(r);

	auth_client_deinit(out);
	if (auth_is_required()) {
		out->rules = auth_rules_get(c);
		return identify(out, r, c);
	}
	if (cert != NULL)
		snprintf(out->name, sizeof out->name, "cert:%s", cert);
	else if (uid >= 0)
		snprintf(out->name, sizeof out->name, "uid:%lld", (long long)uid);
	return true;
}

/* What it may do by these rules. NULL: nothing, for the reason in why. */
static const struct grants *grants_now(const struct auth_client *client, const struct auth_rules *rules, const char **why)
{
	const struct token *t;

	*why = "this client may not do this any more";
	if (strncmp(client->name, "cert:", 5) == 0)
		return auth_rules_cert(rules, client->name + 5);
	if (strncmp(client->name, "uid:", 4) == 0)
		return auth_rules_peer(rules, (uid_t)strtoul(client->name + 4, NULL, 10));
	if (client->token == NULL)
		return auth_rules_anonymous(rules);
	t = auth_rules_hash(rules, client->token->hash);
	*why = t != NULL ? token_ended(t, (int64_t)time(NULL)) : "the token was taken away";
	if (*why != NULL)
		return NULL;
	*why = "the token is not for this any more";
	return &t->grants;
}

const char *auth_ended(const struct auth_client *client, const struct gateway_config *c, unsigned scopes, const char *service)
{
	const struct grants *now;
	struct auth_rules *rules;
	const char *why;

	if (client->grants == NULL || !auth_is_required())
		return NULL;
	rules = auth_rules_get(c);
	now = grants_now(client, rules, &why);
	if (now != NULL && grants_allow(now, scopes, service))
		why = NULL;
	auth_rules_unref(rules);
	return why;
}

void auth_client_deinit(struct auth_client *client)
{
	auth_rules_unref(client->rules);
	client->rules = NULL;
	client->grants = NULL;
	client->token = NULL;
	client->known = false;
	client->name[0] = '\0';
}
