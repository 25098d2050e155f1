/* builtin.h: the gateway's own paths: what it answers itself, without a method of
 * the service. Each is read with GET or HEAD; a route of the schema that claims one
 * is refused when the schema is loaded (schema/route_claims.h). */
#ifndef GATEWAY_BUILTIN_H
#define GATEWAY_BUILTIN_H

#include "gateway/exchange.h"

struct builtin {
	const char *path; /* ends in '/': everything below it too */
	/* Answers r, which is a GET (or HEAD). Runs on t's loop thread; t->snapshot
	 * may be NULL. */
	void (*answer)(struct http_request *r, const struct gateway_thread *t);
	bool open; /* nobody has to say who he is */
	bool docs; /* so with --open-docs */
};

/* The n-th of them, or NULL. */
const struct builtin *builtin_at(size_t n);
/* The one that has this path, or NULL. */
const struct builtin *builtin_find(const char *path);
/* True when the path was a builtin's: r is answered. */
bool builtin_handle(struct http_request *r, const struct gateway_thread *t);

#endif
