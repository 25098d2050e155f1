/* auth.h: who a client is and what it may do. Without --tokens, --anonymous, --peer and --cert
 * everybody may do everything; with one of them a request needs
 *
 *     Authorization: Bearer erd_...   token:NAME  scopes of the token's line
 *     a client certificate            cert:NAME   --cert NAME=SCOPES
 *     a UNIX socket                   uid:N       --peer USER=SCOPES; root and our own user may do everything
 *     nothing of these                anonymous   --anonymous SCOPES
 *
 * The first that is there counts. The rules are made of the configuration and the tokens' file as one immutable
 * object; requests hold a reference, so that a change does not matter to them, but to streams (auth_ended). The file is
 * looked at again when a request comes and it was not for a while (AUTH_LOOK_NS): a revoked token is refused from then on. */
#ifndef GATEWAY_AUTH_H
#define GATEWAY_AUTH_H

#include "base/grants.h"
#include "base/token.h"
#include "gateway/http.h"

struct auth_rules;
struct gateway_config;
struct schema;
struct schema_method;

enum { AUTH_NAME_MAX = 5 + 200 };
#define AUTH_LOOK_NS (200 * 1000000LL)

/* Of a request; borrows from rules, to which it has a reference. */
struct auth_client {
	struct auth_rules *rules;     /* NULL: not asked yet */
	const struct grants *grants;  /* NULL: everything is allowed */
	const struct token *token;    /* NULL: it has none */
	bool known;                   /* it said who it is */
	char name[AUTH_NAME_MAX + 1]; /* "token:ci"; "" where nobody asks */
};

/* At the start and after SIGHUP, on the main thread. 0; or -1 with the reason in why: the rules before stay, and c must not be
 * used. */
int auth_load(const struct gateway_config *c, char *why, size_t why_size);
void auth_deinit(void);
/* Does anybody have to say who he is? */
bool auth_is_required(void);

/* Is r's client one of those the rules know? Fills out (auth_client_deinit). False: r is answered with 401,
 * or 429 when that happens too often. */
bool auth_identify(struct auth_client *out, struct http_request *r, const struct gateway_config *c);
void auth_client_deinit(struct auth_client *client);
/* May it call what wants one of these scopes (grants_allow), of this service? Answers r with 403, or 401 where it helped to
 * say who one is, when not: false. */
bool auth_permit(const struct auth_client *client, struct http_request *r, unsigned scopes, const char *service);
/* The same of the methods that tasks are made of by this input of `method`, if it makes tasks: auth_task.c. */
bool auth_permit_tasks(const struct auth_client *client, struct http_request *r, const struct schema *schema,
		       const struct schema_method *method, struct bytes input);
/* Of what lasts: may it go on with what auth_permit has allowed? NULL; or why not, in words that stay. */
const char *auth_ended(const struct auth_client *client, const struct gateway_config *c, unsigned scopes, const char *service);

#endif
