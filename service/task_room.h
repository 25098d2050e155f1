/* task_room.h: how much room a queue has left, as the answer's RateLimit and
 * RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers). Loop thread. */
#ifndef SERVICE_TASK_ROOM_H
#define SERVICE_TASK_ROOM_H

#include "base/ratelimit.h"
#include "service/registry.h"

/* The queue of that name, or where that is NULL the method's own. False while there is
 * plenty of room, or no bound: then nothing is said. */
bool task_room_read(const struct method *m, const char *queue, struct ratelimit *out);

#endif
