/* rig.h: two conns, a client and a server, back to back without I/O, and a record
 * of every event as one line of text, so that a test reads like the exchange it
 * checks. Shared by the tests of this folder. */
#ifndef TESTS_WIRE_RIG_H
#define TESTS_WIRE_RIG_H

#include "wire/conn.h"

struct rig {
	struct conn *client, *server;
	struct buf events;            /* "server request 3 a.B/C hi\n" ... */
	struct conn_stream *requests[64]; /* as the server got them; NULL once cancelled */
	uint32_t ids[64];
	size_t n_requests;
	size_t step;                  /* bytes per feed; 0 = all at once */
};

/* limits may be NULL; hello: both say it before this returns. */
void rig_init(struct rig *r, const struct conn_limits *limits, bool hello);
void rig_deinit(struct rig *r);
/* Carries bytes both ways until nobody has any; 0 or the first conn_feed error. */
int rig_run(struct rig *r);
/* The events since the last time, as text; valid until the next event. */
const char *rig_events(struct rig *r);

/* Moves what `from` wants to write into b. */
void rig_drain(struct conn *from, struct buf *b);
/* One frame's bytes. */
void rig_frame(struct buf *b, uint32_t stream, uint8_t type, uint8_t flags,
	       const void *payload, size_t len);

struct bytes rig_text(const char *s);
struct conn_stream *rig_call(struct rig *r, const char *method, const char *payload,
			     bool streaming);
void rig_answer(struct rig *r, size_t i, int code, const char *payload);

#endif
