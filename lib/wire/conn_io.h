/* conn_io.h: a conn's bytes from and to its socket, for loops of every kind: when
 * to call these, and what an end means, is the caller's. They never block. */
#ifndef WIRE_CONN_IO_H
#define WIRE_CONN_IO_H

#include <stddef.h>
#include <stdint.h>

#include "wire/conn.h"

/* Results of the module's own; errno tells more of the broken one. */
enum { CONN_IO_FULL = 1, CONN_IO_EOF, CONN_IO_BROKEN };

/* Writes what waits, and adds to *sentp (may be NULL) how much that was. 0: all
 * has gone; CONN_IO_FULL: the socket takes no more now; CONN_IO_BROKEN. */
int conn_write(struct conn *c, int fd, uint64_t *sentp);

/* Feeds c what there is, at most n_reads times size bytes through buf. 0; negative:
 * the peer broke the protocol (conn_why); CONN_IO_EOF; CONN_IO_BROKEN. */
int conn_read(struct conn *c, int fd, uint8_t *buf, size_t size, int n_reads);

#endif
