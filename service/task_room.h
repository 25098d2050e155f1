/* task_room.h: how much room a queue has left, as the answer's RateLimit and
 * RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers). Loop thread. */
#ifndef SERVICE_TASK_ROOM_H
#define SERVICE_TASK_ROOM_H

#include "service/registry.h"

struct task_room {
	char limit[64], policy[64]; /* the headers' values */
};

/* The queue of that name, or where that is NULL the method's own. False while there is
 * plenty of room, or no bound: then nothing is said. */
bool task_room_read(const struct method *m, const char *queue, struct task_room *out);

#endif
