/* gzip.h: bodies packed and unpacked with gzip (RFC 1952), whole ones. The only user
 * of zlib. One struct gzip per loop thread: its state is reused. */
#ifndef GATEWAY_GZIP_H
#define GATEWAY_GZIP_H

#include <stdbool.h>

#include "base/buf.h"

struct gzip;

struct gzip *gzip_new(void);
struct gzip *gzip_free(struct gzip *g); /* NULL-safe; NULL */

enum gzip_verdict {
	GZIP_DONE = 0,
	GZIP_BROKEN = 1,  /* not gzip, cut off, or followed by what is not */
	GZIP_TOO_BIG = 2, /* more than max bytes */
	GZIP_BOMB = 3,    /* over 1 MiB and over 100 times what came in */
};

/* Appends what `in` unpacks to: one or several members, one after the other, and
 * nothing else. Out grows as it fills, so a bomb costs what it was let unpack. */
enum gzip_verdict gzip_unpack(struct gzip *g, struct bytes in, size_t max, struct buf *out);
/* Appends `in` packed. False, and out as it was, when it would not be smaller. */
bool gzip_pack(struct gzip *g, struct bytes in, struct buf *out);
/* The same, also when it gets larger. */
bool gzip_pack_anyhow(struct gzip *g, struct bytes in, struct buf *out);

#endif
