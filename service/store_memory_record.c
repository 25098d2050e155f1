/* store_memory_record.c: the records of the memory store. Store thread. */
#include <string.h>

#include "errand/status.h"
#include "service/store_memory.h"

static struct memory_record *by_key(const struct ordered_node *n)
{
	return n ? CONTAINER_OF(n, struct memory_record, by_key) : NULL;
}

static struct memory_record *by_due(const struct ordered_node *n)
{
	return n ? CONTAINER_OF(n, struct memory_record, by_due) : NULL;
}

static int key_order(const struct record *a, const struct record *b)
{
	int r;

	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	r = memcmp(a->key.data, b->key.data, MIN(a->key.len, b->key.len));
	return r != 0 ? r : (a->key.len > b->key.len) - (a->key.len < b->key.len);
}

static int compare_key(const struct ordered_node *a, const struct ordered_node *b)
{
	return key_order(&by_key(a)->record, &by_key(b)->record);
}

static int compare_due(const struct ordered_node *a, const struct ordered_node *b)
{
	const struct record *x = &by_due(a)->record, *y = &by_due(b)->record;

	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	if (x->due_us != y->due_us)
		return x->due_us < y->due_us ? -1 : 1;
	return key_order(x, y);
}

void memory_record_link(struct store *s, struct memory_record *r)
{
	ordered_insert(&s->records, &r->by_key);
	if (r->record.due_us > 0)
		ordered_insert(&s->due_records, &r->by_due);
}

void memory_record_unlink(struct store *s, struct memory_record *r)
{
	ordered_remove(&s->records, &r->by_key);
	if (r->record.due_us > 0)
		ordered_remove(&s->due_records, &r->by_due);
}

void memory_record_free(struct memory_record *r)
{
	if (r != NULL)
		record_deinit(&r->record);
	free(r);
}

void memory_record_init(struct store *s)
{
	s->records.compare = compare_key;
	s->due_records.compare = compare_due;
}

void memory_record_free_all(struct store *s)
{
	for (struct memory_record *r; (r = by_key(ordered_from(&s->records, NULL))) != NULL;) {
		memory_record_unlink(s, r);
		memory_record_free(r);
	}
}

static void copy_buf(struct buf *to, const struct buf *from)
{
	*to = BUF_INIT;
	buf_append(to, from->data, from->len);
}

static void copy_record(struct record *to, const struct record *from)
{
	*to = *from;
	copy_buf(&to->key, &from->key);
	copy_buf(&to->data, &from->data);
}

/* The key borrowed, only to look for. */
static struct memory_record record_key(enum record_kind kind, struct bytes key)
{
	static const uint8_t nothing[1];

	return (struct memory_record){.record = {.kind = kind,
		.key = {.data = (uint8_t *)(key.len ? key.data : nothing), .len = key.len}}};
}

static struct memory_record *record_find(struct store *s, enum record_kind kind, struct bytes key)
{
	struct memory_record want = record_key(kind, key);
	struct memory_record *r = by_key(ordered_from(&s->records, &want.by_key));

	return r != NULL && key_order(&r->record, &want.record) == 0 ? r : NULL;
}

int memory_put_record(struct store *s, const struct record *record)
{
	struct memory_record *old = record_find(s, record->kind, buf_bytes(&record->key));
	struct memory_record *r = xcalloc(1, sizeof *r);

	copy_record(&r->record, record);
	if (old != NULL)
		memory_record_unlink(s, old);
	memory_record_link(s, r);
	memory_record_changed(s, r, old);
	return 0;
}

int memory_get_record(struct store *s, enum record_kind kind, struct bytes key,
			     struct record *out)
{
	struct memory_record *r = record_find(s, kind, key);

	if (r == NULL)
		return -ERRAND_NOT_FOUND;
	copy_record(out, &r->record);
	return 0;
}

int memory_remove_record(struct store *s, enum record_kind kind, struct bytes key)
{
	struct memory_record *r = record_find(s, kind, key);

	if (r == NULL)
		return 0;
	memory_record_unlink(s, r);
	memory_record_changed(s, NULL, r);
	return 0;
}

static void add_record(struct record **out, size_t *np, const struct record *r)
{
	*out = xrealloc(*out, (*np + 1) * sizeof **out);
	copy_record(&(*out)[(*np)++], r);
}

static bool has_prefix(const struct record *r, struct bytes prefix)
{
	return r->key.len >= prefix.len && memcmp(r->key.data, prefix.data, prefix.len) == 0;
}

int memory_list_records(struct store *s, enum record_kind kind, struct bytes prefix,
			       struct bytes after, size_t limit, struct record **out, size_t *n_out)
{
	struct memory_record first = record_key(kind, prefix), behind = record_key(kind, after);
	struct ordered_node *node = key_order(&first.record, &behind.record) > 0 ?
		ordered_from(&s->records, &first.by_key) : ordered_after(&s->records, &behind.by_key);

	*out = NULL;
	*n_out = 0;
	for (; node != NULL && *n_out < limit; node = ordered_after(&s->records, node)) {
		const struct record *r = &by_key(node)->record;

		if (r->kind != kind || (prefix.len > 0 && !has_prefix(r, prefix)))
			break;
		add_record(out, n_out, r);
	}
	return 0;
}

static struct ordered_node *first_due(struct store *s, enum record_kind kind)
{
	struct memory_record first = record_key(kind, (struct bytes){0});
	struct ordered_node *node = ordered_from(&s->due_records, &first.by_due);

	return node != NULL && by_due(node)->record.kind == kind ? node : NULL;
}

int memory_due_records(struct store *s, enum record_kind kind, int64_t now_us, size_t limit,
			      struct record **out, size_t *n_out)
{
	struct ordered_node *node = first_due(s, kind);

	*out = NULL;
	*n_out = 0;
	for (; node != NULL && *n_out < limit; node = ordered_after(&s->due_records, node)) {
		const struct record *r = &by_due(node)->record;

		if (r->kind != kind || r->due_us > now_us)
			break;
		add_record(out, n_out, r);
	}
	return 0;
}

int memory_next_record(struct store *s, enum record_kind kind, int64_t *due_us)
{
	struct ordered_node *node = first_due(s, kind);

	*due_us = node != NULL ? by_due(node)->record.due_us : 0;
	return 0;
}

int memory_count_records(struct store *s, enum record_kind kind, uint64_t *out)
{
	struct memory_record first = record_key(kind, (struct bytes){0});
	struct ordered_node *node = ordered_from(&s->records, &first.by_key);

	for (*out = 0; node != NULL && by_key(node)->record.kind == kind; ++*out)
		node = ordered_after(&s->records, node);
	return 0;
}
