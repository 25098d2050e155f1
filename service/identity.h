/* identity.h: who asks: `uid:N`, whom the kernel names at the other end of the socket; or, from a gateway
 * that may speak for others, whom it names (errand-identity). And the log of what operators do. Loop thread. */
#ifndef SERVICE_IDENTITY_H
#define SERVICE_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/sock.h"
#include "service/call.h"
#include "wire/envelope.h"

enum { IDENTITY_MAX = 256 };

/* Who may speak for others, besides root and our own user; borrowed until the next time. */
void identity_allow(const uid_t *uids, size_t n);
/* Who asks, into out; false: this peer says that it is somebody, and may not (logged). */
bool identity_of(const struct sock_peer *peer, const struct wire_request *w, char out[IDENTITY_MAX]);

#endif
