/* docs_page.h: the built-in page of /docs/: services, methods, verbs and paths with
 * their comments, straight from a schema. HTML and a style sheet, no script. */
#ifndef GATEWAY_DOCS_PAGE_H
#define GATEWAY_DOCS_PAGE_H

#include "schema/schema.h"

/* Name of the style sheet beside the page. */
#define DOCS_PAGE_STYLE "page.css"

/* Appends the page; without a schema it says that the service is not there yet. */
void docs_page_write(struct buf *b, const struct schema *s);
void docs_page_style(struct buf *b);

#endif
