/* task_stream.h: the streaming methods of errand.v1.Tasks, for task_api.c. */
#ifndef SERVICE_TASK_STREAM_H
#define SERVICE_TASK_STREAM_H

#include "errand/v1/tasks.pb-c.h"

void task_stream_events(Errand__V1__Tasks_Service *service,
			const Errand__V1__WatchEventsRequest *in,
			Errand__V1__TaskEvent_Closure done, void *call);
void task_stream_logs(Errand__V1__Tasks_Service *service, const Errand__V1__GetLogsRequest *in,
		      Errand__V1__LogLine_Closure done, void *call);

#endif
