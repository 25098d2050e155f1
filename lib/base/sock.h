/* sock.h: listening and connecting sockets, all non-blocking and close-on-exec.
 * An address is `unix:/path`, `/path`, `HOST:PORT` or `[v6]:PORT`; port 0 picks
 * a free one. Errors: -errno, with the reason in words in `why` (>= 256 bytes):
 * what was wrong, where, what to do. */
#ifndef BASE_SOCK_H
#define BASE_SOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define SOCK_WHY 256

/* Binds and listens on host:port, SO_REUSEPORT when `shared`: each loop thread
 * of the gateway has its own socket. Without `shared` a port in use is refused,
 * also when its owner shares it. */
int sock_listen_tcp(const char *address, bool shared, char why[SOCK_WHY]);

/* Binds path for the service: the parent must be a directory that only its owner
 * (us or root) can write or is sticky; anything at path but a socket is refused;
 * a socket somebody answers on is refused; a stale one is replaced. The decision
 * is made under flock on `path.lock`, whose fd is given in *lockp and must be
 * kept for the life of the socket, so that of two services one wins. The mode is
 * set before the name appears (temporary name, then rename). */
int sock_listen_unix(const char *path, mode_t mode, int *lockp, char why[SOCK_WHY]);

/* A connect that may be in progress (poll for writable, then sock_error). */
int sock_connect(const char *address, char why[SOCK_WHY]);
int sock_error(int fd); /* SO_ERROR, as -errno or 0 */

struct sock_peer {
	pid_t pid;
	uid_t uid;
	gid_t gid;
};
int sock_peer(int fd, struct sock_peer *out); /* SO_PEERCRED */

/* "127.0.0.1:8080", "[::1]:80" or the path of a bound socket. */
int sock_name(int fd, char *out, size_t size);

#endif
