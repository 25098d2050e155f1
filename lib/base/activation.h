/* activation.h: sockets that were open before we started: whoever starts us has bound them
 * (systemd's LISTEN_FDS protocol, without its library), so that clients wait in their
 * queues while we are not there.
 *
 *   LISTEN_PID      whom they are for; anybody else must leave them alone
 *   LISTEN_FDS      how many, from descriptor 3 on
 *   LISTEN_FDNAMES  their names, parted by colons; without it each is "unknown" */
#ifndef BASE_ACTIVATION_H
#define BASE_ACTIVATION_H

/* Those of that name (NULL: all), at most max, in their order. All that were given are close-on-exec
 * then: no program that is started has a socket of ours. Returns how many. The environment stays, so it can be asked again. */
int activation_take(const char *name, int *fds, int max);

#endif
