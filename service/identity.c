/* identity.c: see identity.h. */
#define _GNU_SOURCE
#include "service/identity.h"

#include <string.h>
#include <unistd.h>

#include "base/digits.h"
#include "base/err.h"
#include "base/grants.h"
#include "base/log.h"
#include "errand/service.h"
#include "service/registry.h"

static const uid_t *gateways;
static size_t n_gateways;

void identity_allow(const uid_t *uids, size_t n)
{
	gateways = uids;
	n_gateways = n;
}

static bool may_speak_for_others(uid_t uid)
{
	if (uid == 0 || uid == geteuid())
		return true;
	for (size_t i = 0; i < n_gateways; i++)
		if (gateways[i] == uid)
			return true;
	return false;
}

bool identity_of(const struct sock_peer *peer, const struct wire_request *w, char out[IDENTITY_MAX])
{
	struct bytes said = wire_pair_get(w->metadata, w->n_metadata, "errand-identity");

	if (said.len == 0) {
		memcpy(out, "uid:", 4);
		*decimal_put(out + 4, peer->uid) = '\0';
		return true;
	}
	if (may_speak_for_others(peer->uid)) {
		said.len = strnlen((const char *)said.data, MIN(said.len, IDENTITY_MAX - 1));
		memcpy(out, said.data, said.len);
		out[said.len] = '\0';
		return true;
	}
	log_warn("a client says that it is somebody else", "pid=%d uid=%u advice=\"--gateway-uid, if it is a gateway\"",
		 (int)peer->pid, (unsigned)peer->uid);
	return false;
}

/* --- the log --- */

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

void identity_audit(struct errand_call *call, int code)
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
