/* schedule_api.c: the handlers of errand.v1.Schedules. Each is one op: what it does to
 * the record is its `act`, run on the store thread with the schedule read; how the
 * outcome is told is its `tell`, on the loop. */
#include "service/schedule_api.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "service/call.h"
#include "service/if_match.h"
#include "service/payload.h"
#include "service/schedule.h"
#include "service/schedule_check.h"
#include "service/task_api.h"
#include "service/task_engine.h"
#include "service/task_request.h"

#define PAGE_DEFAULT 50
#define PAGE_MAX 500

enum { CREATED = 201, PRECONDITION_REQUIRED = 428 };

struct job {
	struct store_op op;
	struct errand_call *call;
	ProtobufCClosure done;
	int (*act)(struct job *j, const struct store_ops *ops, struct store *s); /* NULL: only reads */
	void (*tell)(struct job *j);
	char *id;
	Errand__V1__Schedule *given;  /* CreateSchedule */
	const Errand__V1__UpdateScheduleRequest *update; /* lives until the call is answered */
	const Errand__V1__ListSchedulesRequest *list;
	Errand__V1__Schedule *sc;     /* as it is now; owned */
	struct record *rows;          /* ListSchedules */
	size_t n_rows;
	struct task_new task;         /* TriggerSchedule */
	struct task_changes changes;
	struct fault_list faults;
	char why[320];                /* of a failure; "" = the store's */
};

static struct job *job_new(void *call, ProtobufCClosure done, const char *id, void (*tell)(struct job *))
{
	struct job *j = xcalloc(1, sizeof *j);

	j->call = call;
	j->done = done;
	j->id = xstrdup(id);
	j->tell = tell;
	return j;
}

/* What a run has made. */
static void job_reset(struct job *j)
{
	if (j->sc != NULL)
		schedule_free(j->sc);
	j->sc = NULL;
	records_free(j->rows, j->n_rows);
	j->rows = NULL;
	j->n_rows = 0;
	task_new_deinit(&j->task);
	task_changes_reset(&j->changes);
	fault_list_deinit(&j->faults);
	j->faults = FAULT_LIST_INIT;
	j->why[0] = '\0';
}

static void job_free(struct job *j)
{
	job_reset(j);
	task_changes_deinit(&j->changes);
	if (j->given != NULL)
		schedule_free(j->given);
	free(j->id);
	free(j);
}

static void job_fail(struct job *j, int code)
{
	AUTO_BUF problem = BUF_INIT;

	if (j->faults.n > 0) {
		payload_problem(&j->faults, &problem);
		payload_say(&j->faults, j->why, sizeof j->why);
	} else {
		if (code == ERRAND_NOT_FOUND)
			snprintf(j->why, sizeof j->why, "there is no schedule %.100s", j->id);
		else if (j->why[0] == '\0')
			task_why(-code, "", j->why, sizeof j->why);
		code = task_failure(code, j->why, &problem);
	}
	call_fail_problem(j->call, code, j->why, buf_bytes(&problem));
	job_free(j);
}

static int job_run(struct store_op *op, const struct store_ops *ops, struct store *s)
{
	struct job *j = CONTAINER_OF(op, struct job, op);
	int code = 0;

	job_reset(j);
	if (j->id[0] != '\0' && j->given == NULL)
		code = schedule_get(ops, s, j->id, &j->sc);
	if (code == 0 && j->act != NULL)
		code = j->act(j, ops, s);
	return code;
}

static void job_done(struct store_op *op, int code)
{
	struct job *j = CONTAINER_OF(op, struct job, op);

	if (code < 0) {
		job_fail(j, task_caller_code(code));
		return;
	}
	task_publish(&j->changes);
	if (op->writes)
		schedule_kick();
	j->tell(j);
	job_free(j);
}

static void job_submit(struct job *j, int (*act)(struct job *, const struct store_ops *, struct store *),
		       bool writes)
{
	j->act = act;
	j->op = (struct store_op){.run = job_run, .done = job_done, .writes = writes};
	store_thread_submit(&j->op);
}

/* --- telling --- */

static void tell_schedule(struct job *j)
{
	errand_set_metadata(j->call, "etag", j->sc->etag);
	errand_set_metadata(j->call, "cache-control", "no-store");
	((Errand__V1__Schedule_Closure)j->done)(j->sc, j->call);
}

/* --- create --- */

static int act_create(struct job *j, const struct store_ops *ops, struct store *s)
{
	AUTO_BUF copy = BUF_INIT;
	uint64_t n = 0;
	int code = schedule_get(ops, s, j->id, &j->sc);

	if (code == 0) {
		snprintf(j->why, sizeof j->why, "there is a schedule %.100s already", j->id);
		return -ERRAND_ALREADY_EXISTS;
	}
	if (code != -ERRAND_NOT_FOUND)
		return code;
	code = ops->count_records(s, RECORD_SCHEDULE, &n);
	if (code == 0 && n >= SCHEDULES_MAX) {
		snprintf(j->why, sizeof j->why, "there are %d schedules, which is the most", SCHEDULES_MAX);
		return -ERRAND_FAILED_PRECONDITION;
	}
	buf_reserve(&copy, errand__v1__schedule__get_packed_size(j->given) + 1);
	copy.len = errand__v1__schedule__pack(j->given, copy.data);
	j->sc = schedule_read(&copy);
	return code == 0 ? schedule_put(ops, s, j->sc) : code;
}

static void tell_created(struct job *j)
{
	char location[SCHEDULE_ID_MAX + 32];

	snprintf(location, sizeof location, "/v1/schedules/%s", j->sc->id);
	errand_set_metadata(j->call, "location", location);
	errand_set_metadata(j->call, "errand-http-status", "201");
	tell_schedule(j);
}

/* The members of a request have the numbers they have in a Schedule. */
static Errand__V1__Schedule *as_schedule(const ProtobufCMessage *request, const Errand__V1__Schedule *onto)
{
	AUTO_BUF wire = BUF_INIT;

	buf_reserve(&wire, protobuf_c_message_get_packed_size(request) +
			   (onto ? errand__v1__schedule__get_packed_size(onto) : 0) + 1);
	if (onto != NULL)
		wire.len = errand__v1__schedule__pack(onto, wire.data);
	wire.len += protobuf_c_message_pack(request, wire.data + wire.len);
	return schedule_read(&wire);
}

static void create_schedule(Errand__V1__Schedules_Service *service,
			    const Errand__V1__CreateScheduleRequest *in,
			    Errand__V1__Schedule_Closure done, void *call)
{
	struct job *j = job_new(call, (ProtobufCClosure)done, in->id, tell_created);
	int64_t now = clock_wall_us();
	struct uuid id;

	j->given = as_schedule(&in->base, NULL);
	if (j->id[0] == '\0') {
		uuid_new(&id);
		free(j->id);
		j->id = xcalloc(1, UUID_TEXT_SIZE);
		schedule_set_text(&j->given->id, uuid_format(&id, j->id));
	}
	if (!schedule_check(j->given, &j->faults) ||
	    schedule_set_next(j->given, now, j->why, sizeof j->why) < 0) {
		job_fail(j, ERRAND_INVALID_ARGUMENT);
		return;
	}
	schedule_set_time(&j->given->create_time, now / US_PER_S);
	j->given->create_time->nanos = (int32_t)(now % US_PER_S * 1000);
	job_submit(j, act_create, true);
}

/* --- get, list --- */

static void tell_got(struct job *j)
{
	const char *tags = errand_metadata(j->call, "if-none-match");

	if (tags != NULL && (strcmp(tags, "*") == 0 || strstr(tags, j->sc->etag) != NULL))
		errand_set_metadata(j->call, "errand-http-status", "304");
	tell_schedule(j);
}

static void get_schedule(Errand__V1__Schedules_Service *service, const Errand__V1__GetScheduleRequest *in,
			 Errand__V1__Schedule_Closure done, void *call)
{
	job_submit(job_new(call, (ProtobufCClosure)done, in->id, tell_got), NULL, false);
}

static size_t page_size(const struct job *j)
{
	return j->list->page_size > 0 ? (size_t)j->list->page_size : PAGE_DEFAULT;
}

static int act_list(struct job *j, const struct store_ops *ops, struct store *s)
{
	const char *after = j->list->page_token;

	return ops->list_records(s, RECORD_SCHEDULE, (struct bytes){(const uint8_t *)"", 0},
				 (struct bytes){(const uint8_t *)after, strlen(after)}, page_size(j) + 1,
				 &j->rows, &j->n_rows);
}

static void tell_list(struct job *j)
{
	Errand__V1__ListSchedulesReply reply = ERRAND__V1__LIST_SCHEDULES_REPLY__INIT;
	size_t n = MIN(j->n_rows, page_size(j));

	reply.schedules = xcalloc(n + 1, sizeof *reply.schedules);
	for (size_t i = 0; i < n; i++) {
		Errand__V1__Schedule *sc = schedule_read(&j->rows[i].data);

		if (sc != NULL)
			reply.schedules[reply.n_schedules++] = sc;
	}
	if (j->n_rows > n && n > 0)
		reply.next_page_token = (char *)buf_cstr(&j->rows[n - 1].key);
	errand_set_metadata(j->call, "cache-control", "no-store");
	((Errand__V1__ListSchedulesReply_Closure)j->done)(&reply, j->call);
	for (size_t i = 0; i < reply.n_schedules; i++)
		schedule_free(reply.schedules[i]);
	free(reply.schedules);
}

static void list_schedules(Errand__V1__Schedules_Service *service,
			   const Errand__V1__ListSchedulesRequest *in,
			   Errand__V1__ListSchedulesReply_Closure done, void *call)
{
	struct job *j;

	if (in->page_size < 0 || in->page_size > PAGE_MAX) {
		task_request_refuse(call, "page_size", "page_size: %d is not in 0 to %d", in->page_size, PAGE_MAX);
	} else if (in->page_token[0] != '\0' && !schedule_id_valid(in->page_token)) {
		task_request_refuse(call, "page_token", "page_token: it is not from a list of schedules; "
				    "leave it out to begin at the first page");
	} else {
		j = job_new(call, (ProtobufCClosure)done, "", tell_list);
		j->list = in;
		job_submit(j, act_list, false);
	}
}

/* --- update --- */

/* Messages would be merged, not replaced. */
static void drop_replaced(Errand__V1__Schedule *sc, const Errand__V1__UpdateScheduleRequest *in)
{
	if (in->input != NULL && sc->input != NULL) {
		google__protobuf__any__free_unpacked(sc->input, NULL);
		sc->input = NULL;
	}
	if (in->options != NULL && sc->options != NULL) {
		errand__v1__task_options__free_unpacked(sc->options, NULL);
		sc->options = NULL;
	}
}

static int act_update(struct job *j, const struct store_ops *ops, struct store *s)
{
	const Errand__V1__UpdateScheduleRequest *in = j->update;
	bool moves = in->_cron_case != ERRAND__V1__UPDATE_SCHEDULE_REQUEST___CRON__NOT_SET ||
		     in->_time_zone_case != ERRAND__V1__UPDATE_SCHEDULE_REQUEST___TIME_ZONE__NOT_SET;
	Errand__V1__Schedule *was = j->sc;

	if (!if_match_names(errand_metadata(j->call, "if-match"), was->etag)) {
		snprintf(j->why, sizeof j->why, "the schedule has changed: its ETag is not the one of If-Match");
		return -TASK_STALE;
	}
	drop_replaced(was, in);
	j->sc = as_schedule(&in->base, was);
	schedule_free(was);
	if (!schedule_check(j->sc, &j->faults) ||
	    (moves && schedule_set_next(j->sc, clock_wall_us(), j->why, sizeof j->why) < 0))
		return -ERRAND_INVALID_ARGUMENT;
	return schedule_put(ops, s, j->sc);
}

static void update_schedule(Errand__V1__Schedules_Service *service,
			    const Errand__V1__UpdateScheduleRequest *in,
			    Errand__V1__Schedule_Closure done, void *call)
{
	static const char why[] = "send If-Match with the schedule's ETag, or with * for whatever it is now";
	const char *tags = errand_metadata(call, "if-match");
	AUTO_BUF problem = BUF_INIT;
	struct job *j;

	if (tags == NULL || *tags == '\0') {
		task_problem_put(&problem, ERRAND_FAILED_PRECONDITION, PRECONDITION_REQUIRED, why);
		call_fail_problem(call, ERRAND_FAILED_PRECONDITION, why, buf_bytes(&problem));
		return;
	}
	j = job_new(call, (ProtobufCClosure)done, in->id, tell_schedule);
	j->update = in;
	job_submit(j, act_update, true);
}

/* --- delete, pause, resume --- */

static int act_delete(struct job *j, const struct store_ops *ops, struct store *s)
{
	return ops->remove_record(s, RECORD_SCHEDULE, (struct bytes){(const uint8_t *)j->id, strlen(j->id)});
}

static void tell_deleted(struct job *j)
{
	Google__Protobuf__Empty empty = GOOGLE__PROTOBUF__EMPTY__INIT;

	errand_set_metadata(j->call, "errand-http-status", "204");
	((Google__Protobuf__Empty_Closure)j->done)(&empty, j->call);
}

static void delete_schedule(Errand__V1__Schedules_Service *service,
			    const Errand__V1__GetScheduleRequest *in,
			    Google__Protobuf__Empty_Closure done, void *call)
{
	job_submit(job_new(call, (ProtobufCClosure)done, in->id, tell_deleted), act_delete, true);
}

static int set_paused(struct job *j, const struct store_ops *ops, struct store *s, bool paused)
{
	if (j->sc->paused == paused)
		return 0;
	j->sc->paused = paused;
	if (schedule_set_next(j->sc, clock_wall_us(), j->why, sizeof j->why) < 0)
		return -TASK_NOT_ALLOWED;
	return schedule_put(ops, s, j->sc);
}

static int act_pause(struct job *j, const struct store_ops *ops, struct store *s)
{
	return set_paused(j, ops, s, true);
}

static int act_resume(struct job *j, const struct store_ops *ops, struct store *s)
{
	return set_paused(j, ops, s, false);
}

static void pause_schedule(Errand__V1__Schedules_Service *service,
			   const Errand__V1__GetScheduleRequest *in,
			   Errand__V1__Schedule_Closure done, void *call)
{
	job_submit(job_new(call, (ProtobufCClosure)done, in->id, tell_schedule), act_pause, true);
}

static void resume_schedule(Errand__V1__Schedules_Service *service,
			    const Errand__V1__GetScheduleRequest *in,
			    Errand__V1__Schedule_Closure done, void *call)
{
	job_submit(job_new(call, (ProtobufCClosure)done, in->id, tell_schedule), act_resume, true);
}

/* --- trigger --- */

static int act_trigger(struct job *j, const struct store_ops *ops, struct store *s)
{
	int code = schedule_make(ops, s, j->sc, &j->task, &j->changes, j->why, sizeof j->why);

	if (code > 0)
		return -TASK_NOT_ALLOWED;
	if (code < 0 || j->task.found == TASK_USED)
		return code;
	if (j->task.found != TASK_MADE) {
		snprintf(j->why, sizeof j->why, "another task has the unique key");
		return -ERRAND_ALREADY_EXISTS;
	}
	return schedule_put(ops, s, j->sc);
}

static void tell_triggered(struct job *j)
{
	const struct task_row *row = task_new_row(&j->task);
	struct task_request *r = task_request_new(j->call, j->done, &errand__v1__task__descriptor);

	if (j->task.found == TASK_MADE)
		task_request_status(r, CREATED);
	task_request_location(r, row);
	task_request_answer_task(r, row);
}

static void trigger_schedule(Errand__V1__Schedules_Service *service,
			     const Errand__V1__GetScheduleRequest *in, Errand__V1__Task_Closure done,
			     void *call)
{
	job_submit(job_new(call, (ProtobufCClosure)done, in->id, tell_triggered), act_trigger, true);
}

/* --- the service --- */

static Errand__V1__Schedules_Service handlers = {
	.base = {&errand__v1__schedules__descriptor, protobuf_c_service_invoke_internal, NULL},
	.create_schedule = create_schedule,
	.get_schedule = get_schedule,
	.list_schedules = list_schedules,
	.update_schedule = update_schedule,
	.delete_schedule = delete_schedule,
	.trigger_schedule = trigger_schedule,
	.pause_schedule = pause_schedule,
	.resume_schedule = resume_schedule,
};

ProtobufCService *const schedule_api_service = &handlers.base;
