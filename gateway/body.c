/* See body.h. */
#define _GNU_SOURCE
#include "gateway/body.h"

#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/pbuf.h"
#include "gateway/httpbody.h"
#include "schema/scan.h"
#include "schema/transcode.h"

/* One body on its way. */
struct body {
	const struct request_source *src;
	const struct route *route;
	const struct schema *schema;
	struct buf *out;
	struct fault_list *faults;
};

static enum request_refusal body_fault(const struct body *b, const char *rule, const char *detail)
{
	fault_add(b->faults, FAULT_SYNTAX, FAULT_POINTER, "#", rule, NULL, 0, "%s", detail);
	return REQUEST_FAULTS;
}

static enum request_refusal body_json(const struct body *b)
{
	const struct transcode_read o = {
		.schema = b->schema,
		.keep_zero = b->route->template != NULL && b->route->template->n_variables != 0, /* the path may say 5 */
	};
	const char *text = (const char *)b->src->body.data;
	size_t len = b->src->body.len;
	int rc;

	if (b->route->body_all)
		rc = transcode_from_json(&o, b->route->method->input, text, len, "#", b->out, b->faults);
	else
		rc = transcode_field_from_json(&o, b->route->body, text, len, "#", b->out, b->faults);
	return rc < 0 ? REQUEST_FAULTS : REQUEST_OK;
}

/* The bytes as they came, but for what would have to be merged: looked through here,
 * so that what is no message of this type stops at the edge. */
static enum request_refusal body_scanned(const struct body *b, const struct schema_message *m, struct buf *out)
{
	const struct scan_limits limits = {0};
	AUTO_BUF merged = BUF_INIT;
	char why[256] = "";
	int rc = scan_message(m, b->src->body, &limits, &merged, why, sizeof why);

	if (rc < 0)
		return body_fault(b, rc == -ERRAND_RESOURCE_EXHAUSTED ? "size" : "syntax", why);
	if (merged.len != 0)
		buf_append(out, merged.data, merged.len);
	else
		buf_append(out, b->src->body.data, b->src->body.len);
	return REQUEST_OK;
}

static enum request_refusal body_protobuf(const struct body *b)
{
	const struct schema_field *f = b->route->body;
	AUTO_BUF inner = BUF_INIT;
	enum request_refusal refusal;

	if (b->route->body_all)
		return body_scanned(b, b->route->method->input, b->out);
	if (f->type != FIELD_MESSAGE || f->repeated || f->map)
		return REQUEST_MEDIA_TYPE;
	refusal = body_scanned(b, f->message, &inner);
	pbuf_put_bytes(b->out, f->number, inner.data, inner.len);
	return refusal;
}

static enum request_refusal body_raw(const struct body *b)
{
	const char *type = headers_get(b->src, "Content-Type");
	struct httpbody raw = {{(const uint8_t *)type, type != NULL ? strlen(type) : 0}, b->src->body};
	AUTO_BUF inner = BUF_INIT;

	if (json_utf8_valid(raw.content_type.data, raw.content_type.len) != raw.content_type.len) {
		headers_fault(b->faults, "Content-Type", "", "is not UTF-8");
		return REQUEST_FAULTS;
	}
	httpbody_write(b->route->body_all ? b->out : &inner, &raw);
	if (!b->route->body_all)
		pbuf_put_bytes(b->out, b->route->body->number, inner.data, inner.len);
	return REQUEST_OK;
}

static enum request_refusal body_other(const struct body *b)
{
	return REQUEST_MEDIA_TYPE;
}

/* `{}` says nothing, and many clients send it with every POST. */
static bool body_empty_object(const struct body *b)
{
	static const char blank[] = " \t\r\n";
	const char *p = (const char *)b->src->body.data, *end = p + b->src->body.len;
	int braces = 0;

	for (; p < end; p++)
		if (memchr(blank, *p, sizeof blank - 1) == NULL && *p != "{}x"[braces++])
			return false;
	return braces == 2;
}

enum request_refusal body_to_wire(enum media_body form, const struct request_source *src,
				  const struct route *r, const struct schema *schema, struct buf *out,
				  struct fault_list *faults)
{
	static enum request_refusal (*const forms[])(const struct body *b) = {
		[BODY_JSON] = body_json,
		[BODY_PROTOBUF] = body_protobuf,
		[BODY_OTHER] = body_other,
	};
	const struct body b = {src, r, schema, out, faults};
	enum request_refusal refusal;

	if (!r->body_all && r->body == NULL)
		return form == BODY_JSON && body_empty_object(&b) ? REQUEST_OK : body_fault(&b, "body", "this method "
			"takes no body: its parameters go into the path and the query");
	if (src->header(src->from, "Content-Type", 1) != NULL) {
		headers_fault(faults, "Content-Type", "", "is given more than once");
		return REQUEST_FAULTS;
	}
	refusal = httpbody_in(r) ? body_raw(&b) : forms[form](&b);
	if (refusal == REQUEST_OK)
		field_path_wrap(&r->body_path, out, 0);
	return refusal;
}
