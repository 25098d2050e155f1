/* worker_set.h: a descriptor set for a worker that has no .proto: one TASK method that takes any JSON object
 * and answers with any JSON. Pure. */
#ifndef CLI_WORKER_SET_H
#define CLI_WORKER_SET_H

#include "base/buf.h"

#define WORKER_SET_IMPORT "google/protobuf/struct.proto" /* to be put in front of it */

/* method: "pkg.Service/Method"; verb and path: of its route, NULL: none; queue: NULL: the service's name. False: the name
 * is none. *servicep owned. */
/* Copies that file of a descriptor set, if it is there. */
void worker_set_copy(struct bytes set, const char *file, struct buf *out);
bool worker_set_make(const char *method, const char *verb, const char *path, const char *queue, struct buf *out,
		     char **servicep);

#endif
