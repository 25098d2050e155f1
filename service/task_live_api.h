/* task_live_api.h: the handler of errand.v1.Tasks/WatchAll. */
#ifndef SERVICE_TASK_LIVE_API_H
#define SERVICE_TASK_LIVE_API_H

#include "errand/v1/tasks.pb-c.h"

void task_live_api_watch(Errand__V1__Tasks_Service *service,
			 const Errand__V1__WatchAllRequest *in, Errand__V1__Event_Closure done,
			 void *call);

#endif
