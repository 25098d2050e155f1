/* hook_sign.h: who a callback is from: Standard Webhooks' symmetric signature,
 * `v1,` and the base64 of HMAC-SHA256 over "id.timestamp.body", one for each secret
 * there is, so that secrets can be changed without a gap. Any thread.
 * Source: standardwebhooks.com, spec 1.0. */
#ifndef SERVICE_HOOK_SIGN_H
#define SERVICE_HOOK_SIGN_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define HOOK_KEYS_MAX 8
#define HOOK_SECRET_MIN 24 /* bytes, as the specification says */
#define HOOK_SECRET_MAX 64

struct hook_keys; /* owned by who read it; never logged */

/* A file of its owner alone (0600): one secret a line, `whsec_` and base64, empty lines
 * and # comments between. Negative with the reason in why, which tells no secret. */
int hook_keys_read(const char *path, struct hook_keys **out, char *why, size_t why_size);
/* The same of text; name is what errors call it. */
int hook_keys_parse(const char *name, struct bytes text, struct hook_keys **out, char *why,
		    size_t why_size);
size_t hook_keys_count(const struct hook_keys *k);
struct hook_keys *hook_keys_free(struct hook_keys *k); /* wipes them; NULL */

/* Appends the value of webhook-signature. */
void hook_sign(const struct hook_keys *k, const char *id, int64_t timestamp_s, struct bytes body,
	       struct buf *out);

#endif
