/* call_stream.c: the messages of a server-streaming method, from the thread that
 * packs them to the source on the loop. A client that reads slowly stops the
 * window, the window stops the sender: a SYNC handler is held in
 * errand_stream_send, an ASYNC one is told (1) and may ask to be called back. */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/util.h"
#include "service/call_impl.h"

#define OUT_HIGH (256u << 10) /* bytes that wait before a sending thread is held */
#define OUT_MAX (8u << 20)    /* and before a handler that does not listen is stopped */

/* With the lock held. */
static void discard(struct errand_call *call)
{
	struct list *node;

	while ((node = list_pop_front(&call->out)) != NULL)
		free(LIST_ENTRY(node, struct call_message, node));
	call->out_bytes = 0;
	call->blocked = false;
	pthread_cond_broadcast(&call->room);
}

/* The next message the source may have, or NULL. */
static struct call_message *next_message(struct errand_call *call)
{
	struct call_message *m = NULL;

	pthread_mutex_lock(&call->lock);
	if (call->out_dead)
		discard(call);
	if (!call->blocked && !list_empty(&call->out)) {
		m = LIST_ENTRY(list_pop_front(&call->out), struct call_message, node);
		call->out_bytes -= m->len;
		if (call->out_bytes < OUT_HIGH)
			pthread_cond_broadcast(&call->room);
	}
	pthread_mutex_unlock(&call->lock);
	return m;
}

/* What the source said of a message. */
static void note_window(struct errand_call *call, int r)
{
	pthread_mutex_lock(&call->lock);
	if (r < 0)
		call->out_dead = true;
	else
		call->blocked = r == 1;
	pthread_mutex_unlock(&call->lock);
}

void call_stream_flush(struct errand_call *call)
{
	struct call_message *m;

	while ((m = next_message(call)) != NULL) {
		int r = call->source->message(call, (struct bytes){m->data, m->len}, call->source_arg);

		free(m);
		note_window(call, r);
		if (r < 0)
			call_do_cancel(call, ERRAND_CANCELLED);
	}
}

void call_stream_ready(struct errand_call *call)
{
	struct call_notice n = {0};

	pthread_mutex_lock(&call->lock);
	if (call->ready_due && !call->handler_answered) {
		n = call->ready;
		call->ready.fn = NULL;
	}
	call->ready_due = false;
	pthread_mutex_unlock(&call->lock);
	if (n.fn != NULL)
		call_notify(call, n.fn, n.arg);
}

void call_writable(struct errand_call *call)
{
	call_ref(call);
	pthread_mutex_lock(&call->lock);
	call->blocked = false;
	pthread_mutex_unlock(&call->lock);
	call_stream_flush(call);
	pthread_mutex_lock(&call->lock);
	if (!call->blocked) {
		call->ready_due = call->ready.fn != NULL;
		call->ready_missed = !call->ready_due;
		pthread_cond_broadcast(&call->room);
	}
	pthread_mutex_unlock(&call->lock);
	call_poke(call);
	call_unref(call);
}

void errand_stream_on_ready(struct errand_call *call, void (*fn)(struct errand_call *, void *),
			    void *arg)
{
	bool due;

	pthread_mutex_lock(&call->lock);
	call->ready.fn = fn;
	call->ready.arg = arg;
	due = call->ready_missed;
	call->ready_due = call->ready_due || due;
	call->ready_missed = false;
	pthread_mutex_unlock(&call->lock);
	if (due)
		call_poke(call);
}

/* --- sending --- */

static struct call_message *pack(const ProtobufCMessage *message)
{
	size_t size = protobuf_c_message_get_packed_size(message);
	struct call_message *m = malloc(sizeof *m + size);

	if (m != NULL)
		m->len = protobuf_c_message_pack(message, m->data);
	return m;
}

/* With the lock held: may messages still be sent? */
static bool is_open(struct errand_call *call)
{
	return call->state < CALL_ANSWERED && !call->handler_answered && !call->out_dead &&
	       atomic_load(&call->cancel_code) == 0;
}

/* On the loop thread with nothing waiting: straight to the source. */
static int send_now(struct errand_call *call, struct call_message *m)
{
	int r = call->source->message(call, (struct bytes){m->data, m->len}, call->source_arg);

	free(m);
	note_window(call, r);
	if (r >= 0)
		return r;
	/* The handler is below us on the stack: it is told of the cancel later. */
	pthread_mutex_lock(&call->lock);
	call->cancel_due = true;
	pthread_mutex_unlock(&call->lock);
	call_poke(call);
	return -ERRAND_CANCELLED;
}

/* Into the queue; a thread waits for room first. 0, 1 or negative. */
static int send_later(struct errand_call *call, struct call_message *m, bool wait)
{
	int r = -ERRAND_CANCELLED;
	bool flooded;

	pthread_mutex_lock(&call->lock);
	while (wait && is_open(call) && (call->blocked || call->out_bytes >= OUT_HIGH))
		pthread_cond_wait(&call->room, &call->lock);
	flooded = call->out_bytes + m->len > OUT_MAX && call->out_bytes > 0;
	if (is_open(call) && !flooded) {
		list_push_back(&call->out, &m->node);
		call->out_bytes += m->len;
		r = call->blocked || call->out_bytes >= OUT_HIGH;
		m = NULL;
	}
	pthread_mutex_unlock(&call->lock);
	free(m);
	if (r >= 0)
		call_poke(call);
	else if (flooded)
		log_error("a handler goes on sending while the client's window is used up",
			  "method=%s", call->method->schema->full_name);
	return wait && r > 0 ? 0 : r;
}

int errand_stream_send(struct errand_call *call, const ProtobufCMessage *message)
{
	struct call_message *m;
	bool direct;

	if (call->source->message == NULL || !call->method->schema->server_streaming ||
	    message->descriptor != call->method->output) {
		log_error("a message was sent on a call that takes none such", "method=%s",
			  call->method->schema->full_name);
		return -ERRAND_CANCELLED;
	}
	pthread_mutex_lock(&call->lock);
	direct = loop_is_current() && list_empty(&call->out) && !call->blocked;
	if (!is_open(call)) {
		pthread_mutex_unlock(&call->lock);
		return -ERRAND_CANCELLED;
	}
	call->ready_missed = false;
	pthread_mutex_unlock(&call->lock);
	m = pack(message);
	if (m == NULL)
		return -ERRAND_CANCELLED;
	return direct ? send_now(call, m) : send_later(call, m, call->pool != NULL && !loop_is_current());
}

void errand_stream_end(struct errand_call *call)
{
	if (call_answer_take(call, true))
		call_answer_written(call, true);
}
