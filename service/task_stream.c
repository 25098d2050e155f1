/* task_stream.c: WatchEvents and GetLogs: a task's watch as a stream of messages.
 * The stream's window paces the watch: nothing is read ahead of the client. A
 * client that comes back with all it can ever get is answered 204 when it speaks SSE,
 * which tells an EventSource to stay away; others get an empty list. Loop thread. */
#include "service/task_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "errand/service.h"
#include "service/call.h"
#include "service/task_api.h"

struct stream {
	struct errand_call *call;
	struct task_watch *watch;
	bool logs;          /* LogLine instead of TaskEvent */
	bool sse;           /* the client is an EventSource, or like one */
	uint32_t attempt;   /* logs of this one only; 0 = all */
	size_t n_sent;
};

static const char *const kinds[] = {
	[EVENT_STATE] = "state",
	[EVENT_PROGRESS] = "progress",
	[EVENT_LOG] = "log",
	[EVENT_RESULT] = "result",
};

static void on_ready(struct errand_call *call, void *arg)
{
	struct stream *s = arg;

	task_watch_more(s->watch);
}

/* True: the next one may come. When the client is gone on_cancel follows. */
static bool send_message(struct stream *s, const ProtobufCMessage *message)
{
	int r = errand_stream_send(s->call, message);

	s->n_sent++;
	if (r == 1)
		errand_stream_on_ready(s->call, on_ready, s);
	return r == 0;
}

static bool send_log(struct stream *s, Errand__V1__TaskEvent *event)
{
	if (event->log == NULL || (s->attempt != 0 && event->log->attempt != s->attempt))
		return true;
	event->log->_seq_case = ERRAND__V1__LOG_LINE___SEQ_SEQ;
	event->log->seq = event->seq;
	return send_message(s, &event->log->base);
}

static bool send_event(struct stream *s, Errand__V1__TaskEvent *event, const struct uuid *id,
		       const struct event_row *e)
{
	Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
	char text[UUID_TEXT_SIZE];
	char *old_event = event->event, *old_id = event->task_id;
	bool more;

	time.seconds = e->time_us / US_PER_S;
	time.nanos = (int32_t)(e->time_us % US_PER_S * 1000);
	event->time = &time;
	event->event = (char *)kinds[e->kind];
	event->task_id = uuid_format(id, text);
	more = send_message(s, &event->base);
	event->time = NULL;
	event->event = old_event;
	event->task_id = old_id;
	return more;
}

static bool on_event(const struct uuid *id, const struct event_row *e, void *arg)
{
	struct stream *s = arg;
	Errand__V1__TaskEvent *event = errand__v1__task_event__unpack(NULL, e->data.len, e->data.data);
	bool more = true;

	if (event == NULL || e->kind < EVENT_STATE || e->kind > EVENT_RESULT) {
		if (event != NULL)
			errand__v1__task_event__free_unpacked(event, NULL);
		return true;
	}
	event->seq = e->seq;
	more = s->logs ? send_log(s, event) : send_event(s, event, id, e);
	errand__v1__task_event__free_unpacked(event, NULL);
	return more;
}

static void on_ended(int code, const char *why, void *arg)
{
	struct stream *s = arg;

	if (code != 0) {
		AUTO_BUF problem = BUF_INIT;

		code = task_failure(code, why, &problem);
		call_fail_problem(s->call, code, why, buf_bytes(&problem));
	} else {
		if (s->n_sent == 0 && s->sse)
			errand_set_metadata(s->call, "errand-http-status", "204");
		errand_stream_end(s->call);
	}
	free(s);
}

static void on_gone(struct errand_call *call, void *arg)
{
	struct stream *s = arg;

	task_unwatch(s->watch);
	errand_fail(call, ERRAND_CANCELLED, "the client went away");
	free(s);
}

/* False: last-event-id was refused and the call is answered. */
static bool last_event(struct errand_call *call, uint64_t *afterp)
{
	const char *text = errand_metadata(call, "last-event-id");
	char *end;

	if (text == NULL || *text == 0)
		return true;
	errno = 0;
	*afterp = strtoull(text, &end, 10);
	if (*end == 0 && errno == 0 && *text >= '0' && *text <= '9')
		return true;
	errand_fail(call, ERRAND_INVALID_ARGUMENT, "Last-Event-ID: %.40s is not an id of this stream: "
		    "ids are numbers", text);
	return false;
}

static const struct task_watch_ops ops = {.event = on_event, .ended = on_ended};

static void start(struct stream *s, const char *id, uint64_t after, enum event_kind kind,
		  bool follow)
{
	errand_set_metadata(s->call, "cache-control", "no-store");
	s->watch = task_watch(id, after, kind, follow, &ops, s);
	errand_on_cancel(s->call, on_gone, s);
}

static struct stream *stream_new(struct errand_call *call)
{
	const char *accept = errand_metadata(call, "accept");
	struct stream *s = xcalloc(1, sizeof *s);

	s->call = call;
	s->sse = accept != NULL && strstr(accept, "text/event-stream") != NULL;
	return s;
}

void task_stream_events(Errand__V1__Tasks_Service *service,
			const Errand__V1__WatchEventsRequest *in,
			Errand__V1__TaskEvent_Closure done, void *call)
{
	uint64_t after = in->after_seq;

	if (last_event(call, &after))
		start(stream_new(call), in->id, after, 0, true);
}

/* An SSE client reconnects when a stream ends, so its stream ends with the task. */
void task_stream_logs(Errand__V1__Tasks_Service *service, const Errand__V1__GetLogsRequest *in,
		      Errand__V1__LogLine_Closure done, void *call)
{
	uint64_t after = 0;
	struct stream *s;

	if (!last_event(call, &after))
		return;
	s = stream_new(call);
	s->logs = true;
	s->attempt = in->attempt;
	start(s, in->id, after, EVENT_LOG, in->follow || s->sse);
}
