/* remote_reply.h: an HTTP answer as the errand_reply it would have been on the socket.
 * Pure but for malloc. */
#ifndef CLI_REMOTE_REPLY_H
#define CLI_REMOTE_REPLY_H

#include "base/buf.h"
#include "errand/client.h"

/* One allocation, for errand_reply_free; NULL when memory is out. */
struct errand_reply *remote_reply(int code, const char *message, struct bytes problem, struct bytes payload,
				  bool is_task);

/* The reply that problem JSON stands for (RFC 9457 as our gateway writes it). path: of the
 * request: an `instance` that says only that is left out. NULL: it is none. */
struct errand_reply *remote_reply_problem(struct bytes json, const char *path);

/* The code of an HTTP status, where nothing else says one. */
int remote_reply_code(int status);

#endif
