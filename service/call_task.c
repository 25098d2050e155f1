/* call_task.c: what a task's handler may ask of its call (errand/service.h): progress,
 * log, checkpoints, its parents' results; and the tasks any handler makes. Any thread;
 * what is said goes to the call's source at once. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/pbuf.h"
#include "base/util.h"
#include "service/call_impl.h"

#define ANY_PREFIX "type.googleapis.com/"

const char *errand_task_id(const struct errand_call *call)
{
	return call->task_id;
}

unsigned errand_attempt(const struct errand_call *call)
{
	return call->attempt;
}

void call_task_init(struct errand_call *call, const struct call_params *p)
{
	if (p->checkpoint.len > 0) {
		call->checkpoint.data = (uint8_t *)arena_copy(&call->arena, p->checkpoint.data,
							      p->checkpoint.len);
		call->checkpoint.len = call->checkpoint.data ? p->checkpoint.len : 0;
	}
	if (p->n_parents == 0)
		return;
	call->n_parents = p->n_parents;
	call->parents = xcalloc(p->n_parents, sizeof *call->parents);
	for (size_t i = 0; i < p->n_parents; i++) {
		call->parents[i].id = p->parents[i];
		uuid_format(&p->parents[i], call->parents[i].text);
	}
}

static void free_message(ProtobufCMessage *m)
{
	if (m != NULL)
		protobuf_c_message_free_unpacked(m, NULL);
}

void call_task_deinit(struct errand_call *call)
{
	free_message(call->checkpoint_message);
	call->checkpoint_message = NULL;
	for (size_t i = 0; i < call->n_parents; i++)
		free_message(call->parents[i].result);
	free(call->parents);
	call->parents = NULL;
	call->n_parents = 0;
}

/* --- messages of the module's own, as a google.protobuf.Any --- */

static void pack_any(const ProtobufCMessage *m, size_t size, struct buf *out)
{
	const char *name = m->descriptor->name;
	uint8_t *p;

	pbuf_put_tag(out, 1, PBUF_LEN);
	pbuf_put_varint(out, strlen(ANY_PREFIX) + strlen(name));
	buf_append_str(out, ANY_PREFIX);
	buf_append_str(out, name);
	if (size == 0)
		return;
	pbuf_put_tag(out, 2, PBUF_LEN);
	pbuf_put_varint(out, size);
	p = buf_reserve(out, size);
	if (p != NULL)
		out->len += protobuf_c_message_pack(m, p);
}

/* The message in it when it is of that type. */
static ProtobufCMessage *unpack_any(struct bytes any, const ProtobufCMessageDescriptor *type)
{
	struct pbuf_reader r = pbuf_reader(any.data, any.len);
	struct bytes url = {0}, value = {0};
	size_t skip = strlen(ANY_PREFIX);
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		*(f.number == 1 ? &url : &value) = f.bytes;
	if (r.bad || url.len < skip || url.len - skip != strlen(type->name) ||
	    memcmp(url.data + skip, type->name, url.len - skip) != 0)
		return NULL;
	return protobuf_c_message_unpack(type, NULL, value.len, value.data);
}

/* --- progress --- */

/* Only what clients know can be shown to them. */
static void pack_detail(struct errand_call *call, const ProtobufCMessage *detail, struct buf *out)
{
	const char *name = detail->descriptor->name;
	size_t size = protobuf_c_message_get_packed_size(detail);

	if (size > ERRAND_DETAIL_MAX)
		log_warn("a progress's detail is too large and was left out", "method=%s bytes=%zu max=%d",
			 errand_method_name(call), size, ERRAND_DETAIL_MAX);
	else if (schema_message(registry_schema(), name, strlen(name)) == NULL)
		log_warn("a progress's detail is of a type that no module describes and was left out",
			 "method=%s type=%s", errand_method_name(call), name);
	else
		pack_any(detail, size, out);
}

void call_progress(struct errand_call *call, double fraction, const char *message,
		   struct bytes detail)
{
	if (call->task_id == NULL || call->source->progress == NULL)
		return;
	if (!(fraction > 0)) /* NaN, too */
		fraction = 0;
	pthread_mutex_lock(&call->lock);
	if (!call->source_gone)
		call->source->progress(call, fraction < 1 ? fraction : 1, message, detail,
				       call->source_arg);
	pthread_mutex_unlock(&call->lock);
}

void errand_progress_detail(struct errand_call *call, double fraction, const char *message,
			    const ProtobufCMessage *detail)
{
	AUTO_BUF any = BUF_INIT;

	if (detail != NULL && call->task_id != NULL)
		pack_detail(call, detail, &any);
	call_progress(call, fraction, message, buf_bytes(&any));
}

void errand_progress(struct errand_call *call, double fraction, const char *message)
{
	errand_progress_detail(call, fraction, message, NULL);
}

/* --- checkpoints --- */

void call_save(struct errand_call *call, struct bytes checkpoint)
{
	if (call->task_id == NULL || call->source->checkpoint == NULL)
		return;
	pthread_mutex_lock(&call->lock);
	if (!call->source_gone)
		call->source->checkpoint(call, checkpoint, call->source_arg);
	pthread_mutex_unlock(&call->lock);
}

struct bytes call_checkpoint(const struct errand_call *call)
{
	return call->checkpoint;
}

int errand_checkpoint(struct errand_call *call, const ProtobufCMessage *state)
{
	size_t size = protobuf_c_message_get_packed_size(state);
	AUTO_BUF any = BUF_INIT;

	if (call->task_id == NULL || call->source->checkpoint == NULL)
		return -ERRAND_FAILED_PRECONDITION;
	if (size > ERRAND_CHECKPOINT_MAX) {
		log_warn("a checkpoint is too large and was not taken", "method=%s bytes=%zu max=%d",
			 errand_method_name(call), size, ERRAND_CHECKPOINT_MAX);
		return -ERRAND_RESOURCE_EXHAUSTED;
	}
	pack_any(state, size, &any);
	call_save(call, buf_bytes(&any));
	return 0;
}

const ProtobufCMessage *errand_checkpoint_get(struct errand_call *call,
					      const ProtobufCMessageDescriptor *type)
{
	const ProtobufCMessage *m;

	if (call->checkpoint.len == 0)
		return NULL;
	pthread_mutex_lock(&call->lock);
	if (call->checkpoint_message == NULL)
		call->checkpoint_message = unpack_any(call->checkpoint, type);
	m = call->checkpoint_message;
	pthread_mutex_unlock(&call->lock);
	if (m != NULL && m->descriptor == type)
		return m;
	log_warn("a checkpoint is not of the type that was asked for", "method=%s task=%s type=%s",
		 errand_method_name(call), call->task_id, type->name);
	return NULL;
}

/* --- parents --- */

size_t errand_parent_count(const struct errand_call *call)
{
	return call->n_parents;
}

const char *errand_parent_id(const struct errand_call *call, size_t i)
{
	return i < call->n_parents ? call->parents[i].text : NULL;
}

static ProtobufCMessage *parent_result(struct errand_call *call, size_t i)
{
	ProtobufCMessage *m;

	pthread_mutex_lock(&call->lock);
	m = call->parents[i].result;
	pthread_mutex_unlock(&call->lock);
	return m;
}

/* Of two threads that ask at once the first one's is kept. */
static ProtobufCMessage *keep_result(struct errand_call *call, size_t i, ProtobufCMessage *m)
{
	struct call_parent *p = &call->parents[i];

	pthread_mutex_lock(&call->lock);
	if (p->result == NULL) {
		p->result = m;
		m = NULL;
	}
	pthread_mutex_unlock(&call->lock);
	free_message(m);
	return p->result;
}

int errand_parent_result(struct errand_call *call, size_t i,
			 const ProtobufCMessageDescriptor *type, const ProtobufCMessage **resultp)
{
	AUTO_BUF any = BUF_INIT;
	ProtobufCMessage *m;
	int r;

	*resultp = NULL;
	if (i >= call->n_parents)
		return -ERRAND_OUT_OF_RANGE;
	m = parent_result(call, i);
	if (m == NULL) {
		if (loop_is_current() || call->source->parent == NULL)
			return -ERRAND_FAILED_PRECONDITION;
		r = call->source->parent(&call->parents[i].id, &any);
		if (r < 0)
			return r;
		m = unpack_any(buf_bytes(&any), type);
		if (m != NULL)
			m = keep_result(call, i, m);
	}
	if (m == NULL || m->descriptor != type)
		return -ERRAND_INVALID_ARGUMENT;
	*resultp = m;
	return 0;
}

/* --- tasks to be made --- */

int call_add_task(struct errand_call *call, struct list *node, void (*free_one)(struct list *node),
		  size_t max)
{
	struct call_tasks **tp = &call->answer.tasks;
	int r = 0;

	pthread_mutex_lock(&call->lock);
	if (call->state >= CALL_ANSWERED || call->handler_answered) {
		r = -ERRAND_FAILED_PRECONDITION;
	} else if (*tp == NULL) {
		*tp = xcalloc(1, sizeof **tp);
		list_init(&(*tp)->list);
		(*tp)->free_one = free_one;
	} else if ((*tp)->n == max) {
		r = -ERRAND_RESOURCE_EXHAUSTED;
	}
	if (r == 0) {
		list_push_back(&(*tp)->list, node);
		(*tp)->n++;
	}
	pthread_mutex_unlock(&call->lock);
	if (r < 0)
		free_one(node);
	return r;
}

/* --- lines --- */

void call_log(struct errand_call *call, const char *stream, const char *line, size_t len)
{
	if (call->task_id == NULL || call->source->log == NULL) {
		const struct log_ids *before = log_ids_set(&call->ids);

		log_debug("handler", "method=%s stream=%s line=\"%.*s\"", errand_method_name(call), stream,
			  (int)MIN(len, 2048), line);
		log_ids_set(before);
		return;
	}
	pthread_mutex_lock(&call->lock);
	if (!call->source_gone)
		call->source->log(call, stream, line, len, call->source_arg);
	pthread_mutex_unlock(&call->lock);
}

void errand_log(struct errand_call *call, const char *fmt, ...)
{
	va_list ap;
	char *line;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&line, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	call_log(call, "handler", line, (size_t)n);
	free(line);
}
