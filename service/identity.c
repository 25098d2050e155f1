/* identity.c: see identity.h. */
#define _GNU_SOURCE
#include "service/identity.h"

#include <string.h>
#include <unistd.h>

#include "base/digits.h"
#include "base/log.h"

static const uid_t *gateways;
static size_t n_gateways;

void identity_allow(const uid_t *uids, size_t n)
{
	gateways = uids;
	n_gateways = n;
}

static bool may_speak_for_others(uid_t uid)
{
	if (uid == 0 || uid == geteuid())
		return true;
	for (size_t i = 0; i < n_gateways; i++)
		if (gateways[i] == uid)
			return true;
	return false;
}

bool identity_of(const struct sock_peer *peer, const struct wire_request *w, char out[IDENTITY_MAX])
{
	struct bytes said = wire_pair_get(w->metadata, w->n_metadata, "errand-identity");

	if (said.len == 0) {
		memcpy(out, "uid:", 4);
		*decimal_put(out + 4, peer->uid) = '\0';
		return true;
	}
	if (may_speak_for_others(peer->uid)) {
		said.len = strnlen((const char *)said.data, MIN(said.len, IDENTITY_MAX - 1));
		memcpy(out, said.data, said.len);
		out[said.len] = '\0';
		return true;
	}
	log_warn("a client says that it is somebody else", "pid=%d uid=%u advice=\"--gateway-uid, if it is a gateway\"",
		 (int)peer->pid, (unsigned)peer->uid);
	return false;
}
