/* Path variables as wire bytes behind those of the body. A variable whose field is in
 * the body too must say the same there; wire bytes of one message may be
 * concatenated, so nothing has to be merged. */
#include "schema/variables.h"

#include "base/err.h"
#include "schema/overlap.h"
#include "schema/transcode.h"

static bool wire_same(const struct pbuf_field *a, const struct pbuf_field *b)
{
	if (a->wire != b->wire)
		return false;
	if (a->wire != PBUF_LEN)
		return a->value == b->value;
	return a->bytes.len == b->bytes.len &&
		(a->bytes.len == 0 || memcmp(a->bytes.data, b->bytes.data, a->bytes.len) == 0);
}

/* What the body (wire bytes) has against the variable's value, or NULL. *presentp:
 * the body says the same already. */
static const char *variable_conflict(struct bytes body, struct bytes mine, const struct template_variable *v,
				     bool *presentp)
{
	struct pbuf_field in_body, in_path;

	*presentp = false;
	if (body.len == 0)
		return NULL;
	if (overlap_oneof(body, v->path, v->depth))
		return "the body has another member of this field's oneof";
	if (!overlap_find(body, v->path, v->depth, &in_body))
		return NULL;
	*presentp = overlap_find(mine, v->path, v->depth, &in_path) && wire_same(&in_body, &in_path);
	return *presentp ? NULL : "the path and the body say different things of this field";
}

/* One variable's wire bytes, appended unless the body has the same already. */
static int variable_to_wire(struct buf *payload, size_t body_len, const struct template *t,
			    const struct template_variable *v, struct bytes raw, struct fault_list *faults)
{
	size_t start = payload->len;
	AUTO_BUF text = BUF_INIT;
	const char *conflict;
	bool present;

	if (!route_decode(raw, template_variable_is_multi(t, v), &text)) {
		fault_add(faults, FAULT_SYNTAX, FAULT_PARAMETER, v->name, "encoding",
			  (const char *)raw.data, raw.len, "not percent-encoded UTF-8");
		return -ERRAND_INVALID_ARGUMENT;
	}
	if (transcode_field_from_text(v->path, v->depth, buf_cstr(&text), text.len, v->name,
				      payload, faults) < 0)
		return -ERRAND_INVALID_ARGUMENT;
	conflict = variable_conflict((struct bytes){payload->data, body_len},
				     (struct bytes){payload->data + start, payload->len - start}, v,
				     &present);
	if (conflict != NULL) {
		fault_add(faults, FAULT_SYNTAX, FAULT_PARAMETER, v->name, "conflict", NULL, 0, "%s", conflict);
		return -ERRAND_INVALID_ARGUMENT;
	}
	if (present)
		payload->len = start;
	return 0;
}

void variables_to_wire(const struct route_match *m, struct buf *payload, struct fault_list *faults)
{
	const struct template *t = m->route->template;
	size_t body_len = payload->len;

	for (size_t i = 0; t != NULL && i < t->n_variables; i++)
		variable_to_wire(payload, body_len, t, &t->variables[i], m->values[i], faults);
}
