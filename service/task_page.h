/* task_page.h: page tokens of ListTasks: the last id of a page and a mark of the
 * filter it belongs to, so that a token cannot be used with another one. Pure. */
#ifndef SERVICE_TASK_PAGE_H
#define SERVICE_TASK_PAGE_H

#include "service/store.h"

#define TASK_PAGE_TOKEN_SIZE 28 /* 20 bytes in base64url, and the NUL */

char *task_page_token(const struct store_filter *f, const struct uuid *last,
		      char out[TASK_PAGE_TOKEN_SIZE]);
/* Sets f->after from a token ("" or NULL: the first page). False: it is none, or
 * another filter's. */
bool task_page_parse(const char *token, struct store_filter *f);

#endif
