/* sse.h: server-sent events, as WHATWG reads them, from bytes as they come. Pure. */
#ifndef CLI_SSE_H
#define CLI_SSE_H

#include "base/buf.h"

struct sse {
	/* One event; event is "message" when it was not named. Non-zero ends the reading. */
	int (*on_event)(const char *event, struct bytes data, void *arg);
	void *arg;
	struct buf line, event, data; /* of what is not whole yet */
	bool cr;                      /* the last byte was a CR: an LF belongs to it */
};

/* 0, or what on_event answered. */
int sse_feed(struct sse *s, const void *bytes, size_t len);
void sse_deinit(struct sse *s);

#endif
