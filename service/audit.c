/* audit.c: see audit.h. */
#define _GNU_SOURCE
#include "service/audit.h"

#include <string.h>

#include "base/err.h"
#include "base/grants.h"
#include "base/log.h"
#include "errand/service.h"
#include "service/call.h"
#include "service/registry.h"

/* Which thing it was: the field of the input that names one. */
static const char *resource(const struct errand_call *call)
{
	static const char *const fields[] = {"id", "name", "filter", "path", "schedule_id"};
	const ProtobufCMessage *in = errand_input(call);

	for (size_t i = 0; in != NULL && i < ARRAY_LEN(fields); i++) {
		const ProtobufCFieldDescriptor *f =
			protobuf_c_message_descriptor_get_field_by_name(in->descriptor, fields[i]);
		const char *const *value;

		if (f == NULL || f->type != PROTOBUF_C_TYPE_STRING || f->label == PROTOBUF_C_LABEL_REPEATED)
			continue;
		value = (const void *)((const char *)in + f->offset);
		if (*value != NULL && **value != '\0')
			return *value;
	}
	return "-";
}

void audit_call(struct errand_call *call, int code)
{
	const struct method *m = call_method(call);
	const char *name = errand_identity(call);
	AUTO_BUF who = BUF_INIT;
	AUTO_BUF what = BUF_INIT;
	const char *r;

	if (!(m->schema->scopes & SCOPE_BIT(SCOPE_OPERATE)) || m->schema->local)
		return;
	r = resource(call);
	name = *name != '\0' ? name : "-"; /* a schedule's task */
	log_quote(&who, name, strlen(name));
	log_quote(&what, r, strnlen(r, 256));
	log_info("operator action", "identity=%s method=%s resource=%s outcome=%s", buf_cstr(&who),
		 m->schema->full_name, buf_cstr(&what), err_info(code)->name);
}
