/* docs.h: /docs/, where a person reads and tries the methods: Swagger UI from the
 * files of one directory, or, where that is not installed, a page of our own with
 * every method of the schema in use (docs_page.h).
 *
 * A request never names a file: it picks one of a fixed list, which are regular
 * files of that very directory. Each is read at its first request and kept. */
#ifndef GATEWAY_DOCS_H
#define GATEWAY_DOCS_H

#include "gateway/exchange.h"

/* "off", or the directory (borrowed). 0, or 1 when it lacks a file, with the reason
 * in why: the built-in page is served. Before there are threads. */
int docs_open(const char *dir, char *why, size_t why_size);
void docs_close(void);

/* Builtins: /docs and what is below /docs/. */
void docs_redirect(struct http_request *r, const struct gateway_thread *t);
void docs_answer(struct http_request *r, const struct gateway_thread *t);

#endif
