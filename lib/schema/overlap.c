/* overlap.c: see overlap.h. */
#include "schema/overlap.h"

bool overlap_find(struct bytes wire, const struct schema_field *const *path, size_t depth,
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
		} else if (f.wire == PBUF_LEN && overlap_find(f.bytes, path + 1, depth - 1, out)) {
			found = true;
		}
	}
	return found;
}

static bool is_sibling(const struct schema_field *f, uint32_t number)
{
	const struct schema_field *other;

	if (f->oneof < 0 || number == f->number)
		return false;
	other = schema_field_by_number(f->parent, number);
	return other != NULL && other->oneof == f->oneof;
}

bool overlap_oneof(struct bytes wire, const struct schema_field *const *path, size_t depth)
{
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	struct pbuf_field f;

	while (pbuf_next(&r, &f)) {
		if (is_sibling(path[0], f.number))
			return true;
		if (depth > 1 && f.number == path[0]->number && f.wire == PBUF_LEN &&
		    overlap_oneof(f.bytes, path + 1, depth - 1))
			return true;
	}
	return false;
}
