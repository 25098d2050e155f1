/* schema_api.h: errand.v1.Schema. Loop thread. */
#ifndef SERVICE_SCHEMA_API_H
#define SERVICE_SCHEMA_API_H

#include <stddef.h>

/* Calls of Watch under way: every gateway has some, all the time. */
size_t schema_api_n_watchers(void);

#endif
