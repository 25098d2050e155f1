/* task_api_impl.h: the handlers of errand.v1.Tasks, by the files they are in: what is
 * asked of tasks that are there stays in task_api.c. Loop thread. Private to
 * service/task_api*.c. */
#ifndef SERVICE_TASK_API_IMPL_H
#define SERVICE_TASK_API_IMPL_H

#include "errand/v1/tasks.pb-c.h"
#include "service/task_api.h"
#include "service/task_request.h"

/* task_api_create.c */
void task_api_create(Errand__V1__Tasks_Service *service, const Errand__V1__CreateTaskRequest *in,
		     Errand__V1__Task_Closure done, void *call);
void task_api_batch_create(Errand__V1__Tasks_Service *service, const Errand__V1__BatchCreateTasksRequest *in,
			   Errand__V1__BatchCreateTasksReply_Closure done, void *call);

/* task_api_change.c */
void task_api_cancel(Errand__V1__Tasks_Service *service, const Errand__V1__GetTaskRequest *in,
		     Errand__V1__Task_Closure done, void *call);
void task_api_retry(Errand__V1__Tasks_Service *service, const Errand__V1__GetTaskRequest *in,
		    Errand__V1__Task_Closure done, void *call);
void task_api_hold(Errand__V1__Tasks_Service *service, const Errand__V1__GetTaskRequest *in,
		   Errand__V1__Task_Closure done, void *call);
void task_api_release(Errand__V1__Tasks_Service *service, const Errand__V1__GetTaskRequest *in,
		      Errand__V1__Task_Closure done, void *call);
void task_api_run_now(Errand__V1__Tasks_Service *service, const Errand__V1__GetTaskRequest *in,
		      Errand__V1__Task_Closure done, void *call);
void task_api_delete(Errand__V1__Tasks_Service *service, const Errand__V1__GetTaskRequest *in,
		     Google__Protobuf__Empty_Closure done, void *call);
/* task_api_patch.c */
void task_api_patch(Errand__V1__Tasks_Service *service, const Errand__V1__UpdateTaskRequest *in,
		    Errand__V1__Task_Closure done, void *call);

/* task_api_bulk.c */
void task_api_cancel_many(Errand__V1__Tasks_Service *service, const Errand__V1__BulkRequest *in,
			  Errand__V1__BulkReply_Closure done, void *call);
void task_api_retry_many(Errand__V1__Tasks_Service *service, const Errand__V1__BulkRequest *in,
			 Errand__V1__BulkReply_Closure done, void *call);

#endif
