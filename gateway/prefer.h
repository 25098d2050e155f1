/* prefer.h: the Prefer header (RFC 7240). Pure. */
#ifndef GATEWAY_PREFER_H
#define GATEWAY_PREFER_H

#include "gateway/headers.h"

struct prefer {
	bool respond_async;
	bool has_wait;
	int64_t wait_ns; /* 0 = not asked for; clamped to max_wait */
};

/* Faults name the header. */
void prefer_read(const struct request_source *src, int64_t max_wait, struct prefer *out,
		 struct fault_list *faults);

#endif
