/* pages.h: lists of the service, page by page. Every List method's reply has its items
 * in field 1 and the next page's token in field 2. */
#ifndef CLI_PAGES_H
#define CLI_PAGES_H

#include "cli/backend.h"
#include "cli/table.h"

struct pages {
	const char *service, *method;
	uint32_t size_field, token_field; /* of the request; size_field 0: no pages */
	int64_t limit;
	/* filled in; zero before */
	struct buf all; /* the items, as the field 1 of one reply */
	int64_t n;
	bool more;      /* there are others beyond the limit */
};

/* Asks for pages until `limit` items are there. `in` are the request's other fields. */
int pages_fetch(struct backend *b, struct pages *p, const struct buf *in);
void pages_deinit(struct pages *p);

/* The items for who has asked: a table, whose rows put_row makes of them, or with --json a line of it each:
 * message is the name of their type. */
int pages_show(struct backend *b, const struct pages *p, const char *message, struct table *t,
	       void (*put_row)(struct table *t, struct bytes item));

#endif
