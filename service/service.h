/* service.h: the daemon as a whole: builds the parts in order, runs the loop,
 * takes the parts down again (docs/ARCHITECTURE.md, Start and stop). */
#ifndef SERVICE_SERVICE_H
#define SERVICE_SERVICE_H

#include "errand/service.h"

/* A UUID that changes with every start. */
const char *service_instance(void);

#endif
