/* task_page.h: page tokens of ListTasks: the place a page ended at and a mark of the
 * filter and order it belongs to, so that a token cannot be used with others. Pure. */
#ifndef SERVICE_TASK_PAGE_H
#define SERVICE_TASK_PAGE_H

#include "service/task_list.h"

#define TASK_PAGE_TOKEN_SIZE 49 /* 36 bytes in base64url, and the NUL */

char *task_page_token(const struct task_query *q, const struct store_place *last,
		      char out[TASK_PAGE_TOKEN_SIZE]);
/* Sets q->after from a token ("" or NULL: the first page). False: it is none, or
 * another query's. */
bool task_page_parse(const char *token, struct task_query *q);

#endif
