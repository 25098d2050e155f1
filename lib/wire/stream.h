/* stream.h: the streams of a connection: a hash table by id, a list of the live
 * ones, and a free list, so that a call costs no malloc once the connection is
 * warm. One thread. Private to conn.c. */
#ifndef WIRE_STREAM_H
#define WIRE_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"

struct conn_stream {
	struct list node;  /* in stream_table.live, or linked to itself */
	void *user;        /* the owner's */
	uint32_t id;
	bool streaming;    /* Data is expected in the answer */
	bool open;         /* server: the client may still send Data */
	bool ending;       /* answered by the owner; only `wait` is left to send */
	bool ended;        /* out of the table; freed when its callback returns */
	uint64_t sent_at;  /* client: outq.n_sent once the Request is written */
	int64_t credit;    /* bytes of Data we may send; sent when > 0, so it can fall below */
	int64_t allowed;   /* bytes of Data the peer may send */
	uint32_t consumed; /* bytes of Data consumed, not yet given back as credit */
	struct buf wait;   /* frames without credit */
	size_t wait_head;  /* offset of the first one not yet moved out */
};

struct stream_table {
	struct conn_stream **slots; /* owned; open addressing, power of two */
	size_t n_slots, n_used;
	unsigned shift;    /* 64 - log2(n_slots) */
	uint64_t factor;   /* odd, of this process: a peer cannot aim for one slot */
	struct list live;  /* those not ending */
	size_t n_live;
	struct conn_stream *idle; /* free list, linked through `user` */
	size_t n_idle;
};

void stream_table_init(struct stream_table *t);
void stream_table_deinit(struct stream_table *t);

struct conn_stream *stream_get(const struct stream_table *t, uint32_t id);
/* A zeroed stream under a new id; NULL without memory. */
struct conn_stream *stream_add(struct stream_table *t, uint32_t id);
/* Off the live list: the owner has done with it. */
void stream_retire(struct stream_table *t, struct conn_stream *s);
/* Out of the table and the list; s itself stays until stream_release. */
void stream_remove(struct stream_table *t, struct conn_stream *s);
void stream_release(struct stream_table *t, struct conn_stream *s);

#endif
