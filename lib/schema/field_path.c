/* See field_path.h. */
#define _GNU_SOURCE
#include "schema/field_path.h"

#include <string.h>

#include "base/pbuf.h"

bool field_path_parse(struct field_path *p, const struct schema_message *m, const char *text)
{
	p->depth = 0;
	for (;;) {
		size_t n = strcspn(text, ".");
		const struct schema_field *f = schema_field(m, text, n);

		if (f == NULL || p->depth == TEMPLATE_PATH_MAX)
			return false;
		p->steps[p->depth++] = f;
		if (text[n] == '\0')
			return true;
		if (f->message == NULL || f->repeated || f->type != FIELD_MESSAGE)
			return false;
		m = f->message;
		text += n + 1;
	}
}

void field_path_wrap(const struct field_path *p, struct buf *payload, size_t from)
{
	if (p->depth < 2 || payload->len == from)
		return;
	for (size_t i = p->depth - 1; i-- > 0;) {
		AUTO_BUF inner = BUF_INIT;

		buf_append(&inner, payload->data + from, payload->len - from);
		payload->len = from;
		pbuf_put_bytes(payload, p->steps[i]->number, inner.data, inner.len);
	}
}

struct bytes field_path_enter(const struct field_path *p, struct bytes wire)
{
	for (size_t i = 0; i + 1 < p->depth; i++) {
		struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
		struct pbuf_field f;

		wire = (struct bytes){NULL, 0};
		while (pbuf_next(&r, &f))
			if (f.number == p->steps[i]->number && f.wire == PBUF_LEN)
				wire = f.bytes;
	}
	return wire;
}

bool field_path_covers(const struct field_path *p, const struct schema_field *const *steps, size_t depth)
{
	return p->depth != 0 && depth >= p->depth &&
		memcmp(p->steps, steps, p->depth * sizeof *steps) == 0;
}
