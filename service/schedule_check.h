/* schedule_check.h: what a schedule may be; all that is wrong with it at once. Any
 * thread. */
#ifndef SERVICE_SCHEDULE_CHECK_H
#define SERVICE_SCHEDULE_CHECK_H

#include "errand/v1/schedules.pb-c.h"
#include "schema/fault.h"

/* True when it can be kept. Defaults are filled in, and its input becomes the wire form
 * of its method's message. */
bool schedule_check(Errand__V1__Schedule *sc, struct fault_list *faults);
/* Letters, digits, - _ . , beginning with one of the first two. */
bool schedule_id_valid(const char *id);

#endif
