/* listener.h: the service's UNIX socket: accepts, asks the kernel who the peer is
 * before a byte of his is read, and makes a session of him. A socket that was given at
 * the start (base/activation.h: the one named "service", or the only one) takes the place
 * of our own: its path, mode and group are its giver's, and clients wait in its queue while we
 * are not there. Loop thread. */
#ifndef SERVICE_LISTENER_H
#define SERVICE_LISTENER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/sock.h"

/* Who may connect, besides ourselves and root. */
struct listener_config {
	const char *path;
	mode_t mode;
	gid_t group; /* of the socket; (gid_t)-1 = leave it */
	const uid_t *uids; /* borrowed for the life of the listener */
	size_t n_uids;
	const gid_t *gids; /* one of the peer's groups; borrowed likewise */
	size_t n_gids;
};

/* -errno with the reason in why. */
int listener_open(const struct listener_config *config, char why[SOCK_WHY]);
/* Who may connect from now on; those who are connected stay. Only that of the config counts. */
void listener_set_allowed(const struct listener_config *config);
/* Accepting begins: not before everything behind is ready. */
void listener_start(void);
/* No new connections; the name of a socket of our own is removed. */
void listener_close(void);
/* Where clients connect. */
const char *listener_name(void);

#endif
