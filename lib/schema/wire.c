/* wire.c: see wire.h. Serializers write fields in order, so the index is for the
 * odd message only. */
#include "schema/wire.h"

#include <stdlib.h>

/* A longer length: what it counts moves up. */
void wire_close_long(struct buf *out, size_t body, size_t len)
{
	size_t more = pbuf_varint_size(len) - 1;

	if (buf_reserve(out, more) == NULL)
		return;
	memmove(out->data + body + more, out->data + body, len);
	pbuf_write_varint(out->data + body - 1, len);
	out->len += more;
}

int wire_in_order(const struct schema_message *m, struct bytes wire)
{
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	uint64_t oneofs = 0;
	uint32_t last = 0;
	struct pbuf_field f;

	while (wire_next(&r, &f)) {
		const struct schema_field *field;

		if (f.number > last && m->n_oneofs == 0) {
			last = f.number;
			continue;
		}
		if (f.number < last)
			return 0;
		field = lookup_number(m, f.number);
		if (f.number == last && (field == NULL || !field->repeated))
			return 0;
		last = f.number;
		if (field == NULL || field->oneof < 0)
			continue;
		if (field->oneof >= 64 || (oneofs >> field->oneof & 1))
			return 0;
		oneofs |= 1ULL << field->oneof;
	}
	return r.bad ? -1 : 1;
}

static int by_place(const void *a, const void *b)
{
	const struct wire_item *x = a, *y = b;

	if (x->field != y->field)
		return x->field->index < y->field->index ? -1 : 1;
	return x->at < y->at ? -1 : 1;
}

static int collect(struct wire_index *x, const struct schema_message *m, struct bytes wire)
{
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	struct pbuf_field f;

	while (pbuf_next(&r, &f)) {
		const struct schema_field *field = lookup_number(m, f.number);

		if (field == NULL || !wire_is_of(field, &f))
			continue;
		if ((x->n & (x->n - 1)) == 0)
			x->items = xrealloc(x->items, (x->n ? x->n * 2 : 1) * sizeof *x->items);
		x->items[x->n] = (struct wire_item){field, f, {f.start, (size_t)(r.p - f.start)}, x->n};
		x->n++;
	}
	return r.bad ? -1 : 0;
}

/* While in wire order: a member that another one follows never was. */
static void drop_lost_oneofs(struct wire_index *x, const struct schema_message *m)
{
	const struct schema_field **winner;
	size_t kept = x->n;

	if (m->n_oneofs == 0 || x->n == 0)
		return;
	winner = xcalloc(m->n_oneofs, 2 * sizeof *winner);
	for (size_t i = x->n; i-- > 0;) {
		const struct schema_field *f = x->items[i].field;
		bool lost = false;

		if (f->oneof >= 0) {
			const struct schema_field **w = &winner[2 * f->oneof];

			if (w[0] == NULL)
				w[0] = f;
			else if (w[0] != f)
				w[1] = f; /* from here back nothing of this oneof counts */
			lost = w[1] != NULL;
		}
		if (!lost)
			x->items[--kept] = x->items[i];
	}
	memmove(x->items, x->items + kept, (x->n - kept) * sizeof *x->items);
	x->n -= kept;
	free(winner);
}

/* Items i .. j - 1 are parts of one message: their contents in a row. */
static struct wire_item merge_parts(struct wire_index *x, size_t i, size_t j)
{
	struct wire_item item = x->items[j - 1];
	size_t start = x->merged.len;

	for (; i < j; i++)
		buf_append(&x->merged, x->items[i].value.bytes.data, x->items[i].value.bytes.len);
	/* an offset until the buffer has stopped moving */
	item.value.bytes = (struct bytes){NULL, x->merged.len - start};
	item.at = start;
	item.raw = (struct bytes){NULL, 0};
	return item;
}

static void settle(struct wire_index *x)
{
	size_t n = 0;

	for (size_t i = 0, j; i < x->n; i = j) {
		const struct schema_field *f = x->items[i].field;

		for (j = i + 1; j < x->n && x->items[j].field == f; j++)
			;
		if (f->repeated) {
			memmove(x->items + n, x->items + i, (j - i) * sizeof *x->items);
			n += j - i;
		} else if (wire_is_message(f) && j - i > 1) {
			x->items[n++] = merge_parts(x, i, j);
		} else {
			x->items[n++] = x->items[j - 1];
		}
	}
	x->n = n;
	for (size_t i = 0; i < n; i++)
		if (x->items[i].raw.data == NULL && x->merged.data != NULL)
			x->items[i].value.bytes.data = x->merged.data + x->items[i].at;
}

int wire_index_init(struct wire_index *x, const struct schema_message *m, struct bytes wire)
{
	*x = (struct wire_index){0};
	if (collect(x, m, wire) < 0) {
		wire_index_deinit(x);
		return -1;
	}
	drop_lost_oneofs(x, m);
	if (x->n > 1)
		qsort(x->items, x->n, sizeof *x->items, by_place);
	settle(x);
	return 0;
}

void wire_index_deinit(struct wire_index *x)
{
	free(x->items);
	buf_deinit(&x->merged);
	*x = (struct wire_index){0};
}
