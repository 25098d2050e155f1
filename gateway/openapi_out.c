/* openapi_out.c: JSON into the document. Whether a comma is due shows in the last
 * byte: after an opening bracket there is none. Pure. */
#include "base/json.h"
#include "gateway/openapi_private.h"

void openapi_key(struct openapi *o, const char *key)
{
	struct buf *b = o->out;

	if (b->len > 0 && b->data[b->len - 1] != '{' && b->data[b->len - 1] != '[')
		buf_append_byte(b, ',');
	if (key == NULL)
		return;
	json_put_cstr(b, key);
	buf_append_byte(b, ':');
}

void openapi_open(struct openapi *o, const char *key, char bracket)
{
	openapi_key(o, key);
	buf_append_byte(o->out, (uint8_t)bracket);
}

void openapi_close(struct openapi *o, char bracket)
{
	buf_append_byte(o->out, (uint8_t)bracket);
}

void openapi_string(struct openapi *o, const char *key, const char *value)
{
	openapi_key(o, key);
	json_put_cstr(o->out, value);
}

void openapi_bytes(struct openapi *o, const char *key, struct bytes value)
{
	openapi_key(o, key);
	json_put_string(o->out, (const char *)value.data, value.len);
}

void openapi_uint(struct openapi *o, const char *key, uint64_t value)
{
	openapi_key(o, key);
	json_put_uint(o->out, value);
}

void openapi_true(struct openapi *o, const char *key)
{
	openapi_raw(o, key, "true");
}

void openapi_raw(struct openapi *o, const char *key, const char *json)
{
	openapi_key(o, key);
	buf_append_str(o->out, json);
}

void openapi_ref(struct openapi *o, const char *key, const char *section, const char *name)
{
	AUTO_BUF ref = BUF_INIT;

	buf_printf(&ref, "#/components/%s/%s", section, name);
	openapi_open(o, key, '{');
	openapi_string(o, "$ref", buf_cstr(&ref));
	openapi_close(o, '}');
}
