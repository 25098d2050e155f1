/* schema.c: the snapshot itself: its memory, its references, and everything
 * that is looked up in it by name or number. Built by schema_load.c, immutable
 * afterwards, so any thread reads it without a lock. */
#define _GNU_SOURCE /* memrchr */
#include "schema/schema.h"

#include <stdlib.h>

#include "schema/tables.h"

enum { ARENA_CHUNK = 16 * 1024 };

void *schema_alloc(struct schema *s, size_t size)
{
	struct arena_chunk *c = s->arena;
	void *p;

	size = (size + 15) & ~(size_t)15;
	if (c == NULL || c->size - c->used < size) {
		size_t room = MAX(size, (size_t)ARENA_CHUNK);

		c = xcalloc(1, sizeof *c + room);
		c->size = room;
		c->next = s->arena;
		s->arena = c;
	}
	p = c->data + c->used;
	c->used += size;
	return p;
}

char *schema_strndup(struct schema *s, const void *text, size_t len)
{
	char *p = schema_alloc(s, len + 1);

	if (len > 0)
		memcpy(p, text, len);
	return p;
}

struct schema *schema_ref(struct schema *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

struct schema *schema_unref(struct schema *s)
{
	if (s == NULL || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) > 1)
		return NULL;
	map_deinit(&s->messages);
	map_deinit(&s->enums);
	map_deinit(&s->services);
	map_deinit(&s->methods);
	for (struct arena_chunk *c = s->arena, *next; c != NULL; c = next) {
		next = c->next;
		free(c);
	}
	free(s->set);
	free(s);
	return NULL;
}

struct bytes schema_set(const struct schema *s)
{
	return (struct bytes){s->set, s->set_len};
}

const struct schema_message *schema_message(const struct schema *s, const char *name, size_t len)
{
	return map_get(&s->messages, name, len);
}

const struct schema_enum *schema_enum(const struct schema *s, const char *name, size_t len)
{
	return map_get(&s->enums, name, len);
}

const struct schema_service *schema_service(const struct schema *s, const char *name, size_t len)
{
	return map_get(&s->services, name, len);
}

const struct schema_method *schema_method(const struct schema *s, const char *full, size_t len)
{
	return map_get(&s->methods, full, len);
}

size_t schema_n_services(const struct schema *s)
{
	return s->n_services;
}

const struct schema_service *schema_service_at(const struct schema *s, size_t i)
{
	return i < s->n_services ? s->list[i] : NULL;
}

const struct schema_field *schema_field(const struct schema_message *m, const char *name, size_t len)
{
	return lookup_name(m, name, len);
}

/* Numbers too large for the dense table. */
const struct schema_field *lookup_sparse(const struct schema_message *m, uint32_t number)
{
	size_t low = 0, high = m->n_fields;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (m->fields[mid].number == number)
			return &m->fields[mid];
		if (m->fields[mid].number < number)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

const struct schema_field *schema_field_by_number(const struct schema_message *m, uint32_t number)
{
	return lookup_number(m, number);
}

const struct schema_enum_value *schema_enum_by_name(const struct schema_enum *e, const char *name,
						    size_t len)
{
	int64_t i = name_table_get(&e->lookup->names, name, len);

	return i < 0 ? NULL : &e->values[i];
}

/* Aliases: the first declared one. */
const struct schema_enum_value *schema_enum_by_number(const struct schema_enum *e, int32_t number)
{
	const struct enum_lookup *l = e->lookup;
	int64_t i = (int64_t)number - l->first;

	if (i >= 0 && i < (int64_t)l->n_dense)
		return l->by_number[i] ? &e->values[l->by_number[i] - 1] : NULL;
	for (size_t k = 0; k < e->n_values; k++)
		if (e->values[k].number == number)
			return &e->values[k];
	return NULL;
}

void name_table_init(struct schema *s, struct name_table *t, size_t n_names)
{
	uint32_t n = 4;

	while (n < n_names * 2)
		n *= 2;
	t->slots = schema_alloc(s, n * sizeof *t->slots);
	t->mask = n - 1;
}

bool name_table_put(struct name_table *t, const char *name, size_t index)
{
	size_t len = strlen(name);
	struct name_slot *slot;
	uint32_t i = name_hash(name, len);

	for (slot = &t->slots[i & t->mask]; slot->name != NULL; slot = &t->slots[++i & t->mask])
		if (slot->len == len && memcmp(slot->name, name, len) == 0)
			return false;
	*slot = (struct name_slot){name, (uint32_t)len, (uint32_t)index};
	return true;
}

/* --- did you mean --- */

enum { NEAREST_MAX = 48 }; /* longer names are not compared */

static char fold(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* Which letters it has, as 64 bits. */
static uint64_t letters(const char *s, size_t n)
{
	uint64_t set = 0;

	for (size_t i = 0; i < n; i++)
		set |= (uint64_t)1 << (fold(s[i]) & 63);
	return set;
}

/* It cannot be as near as `most`: too much longer, or too many letters that the other
 * lacks, of which an edit brings one. */
static bool too_far(const char *a, size_t n_a, const char *b, size_t n_b, size_t most)
{
	uint64_t in_a, in_b;

	if (n_a > n_b + most || n_b > n_a + most)
		return true;
	in_a = letters(a, n_a);
	in_b = letters(b, n_b);
	return (size_t)__builtin_popcountll(in_a & ~in_b) > most ||
	       (size_t)__builtin_popcountll(in_b & ~in_a) > most;
}

/* Edits (insert, delete, replace, swap of neighbours) from a to b, case ignored. Those
 * further than `most` are not measured: a client may send many names that are nobody's. */
static size_t distance(const char *a, size_t n_a, const char *b, size_t n_b, size_t most)
{
	uint8_t rows[3][NEAREST_MAX + 1];
	size_t least = 0; /* of the row before */

	if (too_far(a, n_a, b, n_b, most))
		return SIZE_MAX;
	for (size_t j = 0; j <= n_b; j++)
		rows[0][j] = (uint8_t)j;
	for (size_t i = 1; i <= n_a; i++) {
		uint8_t *now = rows[i % 3], *up = rows[(i + 2) % 3], *up2 = rows[(i + 1) % 3];
		size_t least_before = least;

		least = now[0] = (uint8_t)i;
		for (size_t j = 1; j <= n_b; j++) {
			bool same = fold(a[i - 1]) == fold(b[j - 1]);
			int d = up[j - 1] + !same;

			d = MIN(d, MIN(up[j], now[j - 1]) + 1);
			if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) &&
			    fold(a[i - 2]) == fold(b[j - 1]))
				d = MIN(d, up2[j - 2] + 1);
			now[j] = (uint8_t)d;
			least = MIN(least, (size_t)d);
		}
		if (least > most && least_before > most) /* a row is made of the two before it */
			return SIZE_MAX;
	}
	return rows[n_a % 3][n_b];
}

const char *schema_nearest_field(const struct schema_message *m, const char *name, size_t len)
{
	const char *best = NULL;
	size_t least = len / 3 + 1; /* one edit in three letters still looks alike */

	if (len == 0 || len > NEAREST_MAX)
		return NULL;
	for (size_t i = 0; i < m->n_fields; i++) {
		const char *names[2] = {m->fields[i].out_name, m->fields[i].json_name};

		for (size_t k = 0; k < 2; k++) {
			size_t n = strlen(names[k]), d;

			if (n > NEAREST_MAX || (k == 1 && strcmp(names[0], names[1]) == 0))
				continue;
			d = distance(name, len, names[k], n, least);
			if (d < least || (d == least && best == NULL && d < len)) {
				least = d;
				best = m->fields[i].out_name;
			}
		}
	}
	return best;
}

/* What comes after the last dot. */
static struct bytes last_part(const char *name, size_t len)
{
	const char *dot = memrchr(name, '.', len);
	size_t skip = dot ? (size_t)(dot + 1 - name) : 0;

	return (struct bytes){(const uint8_t *)name + skip, len - skip};
}

const char *schema_nearest_message(const struct schema *s, const char *name, size_t len)
{
	struct bytes wanted = last_part(name, len);
	size_t pos = 0, least = wanted.len / 3 + 1;
	const struct schema_message *m;
	const char *best = NULL;

	if (wanted.len == 0 || wanted.len > NEAREST_MAX)
		return NULL;
	while ((m = map_next(&s->messages, &pos)) != NULL) {
		struct bytes last = last_part(m->name, strlen(m->name));
		size_t d;

		if (m->map_entry || last.len > NEAREST_MAX)
			continue;
		d = distance((const char *)wanted.data, wanted.len, (const char *)last.data, last.len, least);
		if (d < least || (d == least && best != NULL && strcmp(m->name, best) < 0)) {
			least = d;
			best = m->name;
		}
	}
	return best;
}
