/* err.h: one table for what a call can end in: code, name, HTTP status, text.
 * Functions return int: 0 done; negative is an errand_code negated, or -errno
 * where the header says so; positive is the module's own enum. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "errand/status.h"

struct err_info {
	enum errand_code code;
	const char *name; /* "NOT_FOUND": the `code` member of a problem */
	int http;         /* HTTP status at the gateway */
	const char *text; /* reason phrase of that status, for `title` */
};

/* Never NULL: a code out of range is UNKNOWN. */
const struct err_info *err_info(int code);

/* The reason phrase of any HTTP status errand sends, "Unknown" for others. */
const char *err_http_reason(int status);

/* The code whose name is `name` (case-sensitive), or -1. */
int err_code_by_name(const char *name);

#endif
