/* task_live_api.c: WatchAll: the events of all tasks as a stream of messages, paced by
 * the client's window (task_live.h). An event that goes to many watchers in one turn is
 * unpacked once. Loop thread. */
#include "service/task_live_api.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "errand/service.h"
#include "service/call.h"
#include "service/task_list.h"
#include "service/task_live.h"
#include "service/task_request.h"

struct stream {
	struct errand_call *call;
	struct task_live *watch;
};

/* The last one unpacked, by its id. */
static struct {
	Errand__V1__Event *event;
	char id[TASK_LIVE_ID_SIZE];
} last;

static void on_ready(struct errand_call *call, void *arg)
{
	struct stream *s = arg;

	task_live_more(s->watch);
}

/* True: the next one may come. When the client is gone on_cancel follows. */
static bool send_message(struct stream *s, const Errand__V1__Event *event)
{
	int r = errand_stream_send(s->call, &event->base);

	if (r == 1)
		errand_stream_on_ready(s->call, on_ready, s);
	return r == 0;
}

static void forget_last(void)
{
	if (last.event == NULL)
		return;
	last.event->id = (char *)protobuf_c_empty_string; /* ours, not the message's */
	errand__v1__event__free_unpacked(last.event, NULL);
	last.event = NULL;
}

static bool on_event(const char *id, struct bytes wire, void *arg)
{
	if (last.event == NULL || strcmp(last.id, id) != 0) {
		forget_last();
		last.event = errand__v1__event__unpack(NULL, wire.len, wire.data);
		if (last.event == NULL)
			return true;
		strcpy(last.id, id);
		last.event->id = last.id;
	}
	return send_message(arg, last.event);
}

static bool on_reset(const char *id, void *arg)
{
	Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
	Errand__V1__Event event = ERRAND__V1__EVENT__INIT;
	int64_t now = clock_wall_us();

	time.seconds = now / US_PER_S;
	time.nanos = (int32_t)(now % US_PER_S * 1000);
	event.id = (char *)id;
	event.event = (char *)"reset";
	event.time = &time;
	return send_message(arg, &event);
}

static void on_ended(void *arg)
{
	struct stream *s = arg;

	forget_last();
	errand_fail(s->call, ERRAND_UNAVAILABLE, "the service is stopping");
	free(s);
}

static void on_gone(struct errand_call *call, void *arg)
{
	struct stream *s = arg;

	task_live_unwatch(s->watch);
	forget_last();
	errand_fail(call, ERRAND_CANCELLED, "the client went away");
	free(s);
}

static const struct task_live_ops ops = {.event = on_event, .reset = on_reset, .ended = on_ended};

void task_live_api_watch(Errand__V1__Tasks_Service *service,
			 const Errand__V1__WatchAllRequest *in, Errand__V1__Event_Closure done,
			 void *call)
{
	const struct task_query_words words = {
		.state = (int)in->state, .method = in->method, .queue = in->queue, .filter = in->filter,
	};
	const char *after = errand_metadata(call, "last-event-id"), *word;
	struct task_query q;
	struct stream *s;
	char why[512];

	if (task_query_read(&words, &q, &word, why, sizeof why) < 0) {
		task_request_refuse(call, word, "%s: %s", word, why);
		return;
	}
	s = xcalloc(1, sizeof *s);
	s->call = call;
	errand_set_metadata(call, "cache-control", "no-store");
	s->watch = task_live_watch(after != NULL && *after != 0 ? after : in->after_id, q.filter, &ops, s);
	errand_on_cancel(call, on_gone, s);
}
