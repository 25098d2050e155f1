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

/* The content of the messages in field `number`: where it is when there is one, else
 * put together in scratch, which may hold wire. */
static struct bytes pieces_of(uint32_t number, struct bytes wire, struct buf *scratch)
{
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	struct bytes last = {NULL, 0};
	AUTO_BUF all = BUF_INIT;
	struct buf before;
	struct pbuf_field f;
	size_t n = 0;

	while (pbuf_next(&r, &f)) {
		if (f.number != number || f.wire != PBUF_LEN)
			continue;
		if (n++ == 1)
			buf_append(&all, last.data, last.len);
		last = f.bytes;
		if (n > 1)
			buf_append(&all, last.data, last.len);
	}
	if (n < 2)
		return last;
	before = *scratch;
	*scratch = all;
	all = before;
	return buf_bytes(scratch);
}

struct bytes field_path_enter(const struct field_path *p, struct bytes wire, struct buf *scratch)
{
	for (size_t i = 0; i + 1 < p->depth; i++)
		wire = pieces_of(p->steps[i]->number, wire, scratch);
	return wire;
}

enum field_relation field_relation(const struct schema_field *const *a, size_t a_depth,
				   const struct schema_field *const *b, size_t b_depth)
{
	for (size_t i = 0; i < a_depth && i < b_depth; i++) {
		if (a[i] == b[i])
			continue;
		return a[i]->oneof >= 0 && a[i]->oneof == b[i]->oneof ? FIELDS_ONEOF : FIELDS_APART;
	}
	return FIELDS_SAME;
}
