/* hook_api.c: the handlers of errand.v1.Deliveries. All are ASYNC: they ask the engine
 * (hook.h) and answer when it does. */
#include "service/hook_api.h"

#include <string.h>

#include "base/pbuf.h"
#include "errand/v1/deliveries.pb-c.h"
#include "service/call.h"
#include "service/hook.h"
#include "service/task_api.h"
#include "service/task_request.h"

#define PAGE_DEFAULT 50
#define PAGE_MAX 500

/* A request under way. */
struct request {
	struct errand_call *call;
	ProtobufCClosure done;
	const ProtobufCMessageDescriptor *reply; /* type of the answer */
	bool redelivers;
};

static struct request *request_new(void *call, ProtobufCClosure done,
				   const ProtobufCMessageDescriptor *reply)
{
	struct request *r = xcalloc(1, sizeof *r);

	r->call = call;
	r->done = done;
	r->reply = reply;
	return r;
}

static void request_fail(struct request *r, int code, const char *why)
{
	AUTO_BUF problem = BUF_INIT;

	code = task_failure(code, why, &problem);
	call_fail_problem(r->call, code, why, buf_bytes(&problem));
	free(r);
}

/* Answers with what is packed. */
static void request_answer(struct request *r, const struct buf *packed)
{
	ProtobufCMessage *m = protobuf_c_message_unpack(r->reply, NULL, packed->len, packed->data);

	if (m == NULL) {
		request_fail(r, ERRAND_INTERNAL, "the stored delivery cannot be shown");
		return;
	}
	errand_set_metadata(r->call, "cache-control", "no-store");
	r->done(m, r->call);
	protobuf_c_message_free_unpacked(m, NULL);
	free(r);
}

static void got_one(int code, const char *why, const struct hook_delivery *d, void *arg)
{
	struct request *r = arg;
	AUTO_BUF out = BUF_INIT;

	if (code != 0) {
		request_fail(r, code, why);
		return;
	}
	if (r->redelivers)
		errand_set_metadata(r->call, "errand-http-status", "202");
	hook_pack(d, &out);
	request_answer(r, &out);
}

static void get_delivery(Errand__V1__Deliveries_Service *service,
			 const Errand__V1__GetDeliveryRequest *in, Errand__V1__Delivery_Closure done,
			 void *call)
{
	hook_show(in->id, got_one, request_new(call, (ProtobufCClosure)done,
					       &errand__v1__delivery__descriptor));
}

static void redeliver(Errand__V1__Deliveries_Service *service,
		      const Errand__V1__GetDeliveryRequest *in, Errand__V1__Delivery_Closure done,
		      void *call)
{
	struct request *r = request_new(call, (ProtobufCClosure)done, &errand__v1__delivery__descriptor);

	r->redelivers = true;
	hook_redeliver(in->id, got_one, r);
}

static void got_list(int code, const char *why, const struct hook_delivery *rows, size_t n,
		     const uint8_t *next, void *arg)
{
	struct request *r = arg;
	AUTO_BUF out = BUF_INIT;
	char token[HOOK_ID_SIZE];

	if (code != 0) {
		request_fail(r, code, why);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		AUTO_BUF one = BUF_INIT;

		hook_pack(&rows[i], &one);
		pbuf_put_bytes(&out, 1, one.data, one.len);
	}
	if (next != NULL)
		pbuf_put_str(&out, 2, hook_id_format(next, token));
	request_answer(r, &out);
}

static void list_deliveries(Errand__V1__Deliveries_Service *service,
			    const Errand__V1__ListDeliveriesRequest *in,
			    Errand__V1__ListDeliveriesReply_Closure done, void *call)
{
	struct hook_list f = {
		.state = (enum hook_state)in->state,
		.of_task = in->task_id[0] != 0,
		.after_set = in->page_token[0] != 0,
		.limit = in->page_size > 0 ? (size_t)in->page_size : PAGE_DEFAULT,
	};

	if (in->page_size < 0 || in->page_size > PAGE_MAX)
		task_request_refuse(call, "page_size", "page_size: %d is not in 0 to %d", in->page_size, PAGE_MAX);
	else if ((int)in->state < 0 || in->state > ERRAND__V1__DELIVERY__STATE__DEAD)
		task_request_refuse(call, "state", "state: %d is no state of a delivery", (int)in->state);
	else if (f.of_task && !uuid_parse(in->task_id, &f.task))
		task_request_refuse(call, "task_id", "task_id: the whole id of a task is expected");
	else if (f.after_set && (!hook_id_parse(in->page_token, f.after) ||
				 (f.of_task && memcmp(f.after, f.task.b, sizeof f.task.b) != 0)))
		task_request_refuse(call, "page_token", "page_token: it is not from a list with this "
				    "filter; leave it out to begin at the first page");
	else
		hook_list(&f, got_list, request_new(call, (ProtobufCClosure)done,
						    &errand__v1__list_deliveries_reply__descriptor));
}

static Errand__V1__Deliveries_Service deliveries = {
	.base = {&errand__v1__deliveries__descriptor, protobuf_c_service_invoke_internal, NULL},
	.list_deliveries = list_deliveries,
	.get_delivery = get_delivery,
	.redeliver = redeliver,
};

ProtobufCService *const hook_api_service = &deliveries.base;
