/* Path variables as wire bytes behind those of the body. A variable whose field is in
 * the body too must say the same there; wire bytes of one message may be
 * concatenated, so nothing has to be merged. */
#include "schema/variables.h"

#include "base/err.h"
#include "base/pbuf.h"
#include "schema/transcode.h"

/* The last value of the field that path leads to. */
static bool wire_find(struct bytes wire, const struct schema_field *const *path, size_t depth,
		      struct pbuf_field *out)
{
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	struct pbuf_field f;
	bool found = false;

	while (pbuf_next(&r, &f)) {
		if (f.number != path[0]->number)
			continue;
		if (depth == 1) {
			*out = f;
			found = true;
		} else if (f.wire == PBUF_LEN && wire_find(f.bytes, path + 1, depth - 1, out)) {
			found = true;
		}
	}
	return found;
}

static bool wire_same(const struct pbuf_field *a, const struct pbuf_field *b)
{
	if (a->wire != b->wire)
		return false;
	if (a->wire != PBUF_LEN)
		return a->value == b->value;
	return a->bytes.len == b->bytes.len &&
		(a->bytes.len == 0 || memcmp(a->bytes.data, b->bytes.data, a->bytes.len) == 0);
}

/* Does the body (wire bytes) have the variable's field, and does it agree? Both
 * zero counts as agreeing: zeros may be left out. */
static bool variable_conflict(struct bytes body, struct bytes mine, const struct template_variable *v,
			      bool *presentp)
{
	struct pbuf_field in_body, in_path = {.wire = PBUF_VARINT};

	*presentp = body.len != 0 && wire_find(body, v->path, v->depth, &in_body);
	if (!*presentp)
		return false;
	if (wire_find(mine, v->path, v->depth, &in_path))
		return !wire_same(&in_body, &in_path);
	return in_body.wire == PBUF_LEN ? in_body.bytes.len != 0 : in_body.value != 0;
}

/* One variable's wire bytes, appended unless the body has the same already. */
static int variable_to_wire(struct buf *payload, size_t body_len, const struct template *t,
			    const struct template_variable *v, struct bytes raw, struct fault_list *faults)
{
	size_t start = payload->len;
	AUTO_BUF text = BUF_INIT;
	bool present;

	if (!route_decode(raw, template_variable_is_multi(t, v), &text)) {
		fault_add(faults, FAULT_SYNTAX, FAULT_PARAMETER, v->name, "encoding",
			  (const char *)raw.data, raw.len, "not percent-encoded UTF-8");
		return -ERRAND_INVALID_ARGUMENT;
	}
	if (transcode_field_from_text(v->path, v->depth, buf_cstr(&text), text.len, v->name,
				      payload, faults) < 0)
		return -ERRAND_INVALID_ARGUMENT;
	if (variable_conflict((struct bytes){payload->data, body_len},
			      (struct bytes){payload->data + start, payload->len - start}, v, &present)) {
		fault_add(faults, FAULT_SYNTAX, FAULT_PARAMETER, v->name, "conflict", NULL, 0,
			  "the path and the body say different things of this field");
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
