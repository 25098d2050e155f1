/* auth_rules.h: what auth.c goes by. Private to gateway/auth*.c. */
#ifndef GATEWAY_AUTH_RULES_H
#define GATEWAY_AUTH_RULES_H

#include <sys/types.h>

#include "gateway/auth.h"

/* The newest, with a reference, after a look at the tokens' file when it is time for one. Any thread. */
struct auth_rules *auth_rules_get(const struct gateway_config *c);
void auth_rules_unref(struct auth_rules *rules); /* NULL-safe */

/* What is known of one, borrowed from rules; NULL: nothing. */
const struct token *auth_rules_token(const struct auth_rules *rules, const char *text, size_t len);
const struct token *auth_rules_hash(const struct auth_rules *rules, const uint8_t hash[TOKEN_HASH]);
const struct grants *auth_rules_cert(const struct auth_rules *rules, const char *name);
const struct grants *auth_rules_peer(const struct auth_rules *rules, uid_t uid);
const struct grants *auth_rules_anonymous(const struct auth_rules *rules); /* never NULL */

#endif
