/* tables.h: what the files of lib/schema know of a schema and others do not:
 * hash tables over names, dense tables over numbers, and each field's wire tag
 * and JSON key ready to be copied. Immutable after schema_load; any thread. */
#ifndef SCHEMA_TABLES_H
#define SCHEMA_TABLES_H

#include <stdatomic.h>

#include "schema/schema.h"

struct name_slot {
	const char *name; /* NULL = empty */
	uint32_t len;
	uint32_t index;   /* of the field or enum value */
};

/* Open addressing, at most half full; mask + 1 slots, none when slots is NULL. */
struct name_table {
	struct name_slot *slots;
	uint32_t mask;
};

/* One per field, by its index. */
struct field_code {
	const uint8_t *key; /* "name": with quotes and colon */
	uint32_t key_len;
	struct bytes json_key; /* the same of json_name */
	uint8_t tag_len;
	uint8_t tag[5];     /* number and the wire type it is written with */
	const char *name;   /* out_name, for guessing */
	uint32_t name_len;  /* 0: do not guess, it has escapes in JSON */
};

struct schema_lookup {
	struct field_code *codes;
	struct name_table names;  /* name and json_name of every field */
	uint16_t *by_number;      /* field index + 1, for numbers below n_dense */
	uint32_t n_dense;
	uint32_t heap;            /* what protobuf-c allocates for one, about */
};

struct enum_lookup {
	struct name_table names;
	int32_t first;    /* number of by_number[0] */
	uint32_t n_dense;
	uint16_t *by_number; /* value index + 1 */
};

struct arena_chunk {
	struct arena_chunk *next;
	size_t used, size;
	_Alignas(16) uint8_t data[];
};

struct schema {
	atomic_uint refs;
	uint8_t *set;              /* owned */
	size_t set_len;
	struct arena_chunk *arena; /* owned: every table and name */
	struct map messages, enums, services, methods; /* full name -> arena */
	struct schema_service **list; /* services in order; arena */
	size_t n_services;
};

/* Zeroed, never NULL, freed with the schema. */
void *schema_alloc(struct schema *s, size_t size);
char *schema_strndup(struct schema *s, const void *text, size_t len);

void name_table_init(struct schema *s, struct name_table *t, size_t n_names);
/* False when the name is there already (and the table is as before). */
bool name_table_put(struct name_table *t, const char *name, size_t index);

/* First and last eight bytes: schema names are few, so collisions cost little. */
static inline uint32_t name_hash(const char *name, size_t len)
{
	uint64_t a = 0, b = 0;

	if (len >= 8) {
		memcpy(&a, name, 8);
		memcpy(&b, name + len - 8, 8);
	} else if (len >= 4) {
		uint32_t lo, hi;

		memcpy(&lo, name, 4);
		memcpy(&hi, name + len - 4, 4);
		a = lo;
		b = hi;
	} else {
		for (size_t i = 0; i < len; i++)
			a = a << 8 | (uint8_t)name[i];
	}
	a = (a ^ len) * 0x9e3779b97f4a7c15ULL;
	b = (b ^ a >> 29) * 0xbf58476d1ce4e5b9ULL;
	return (uint32_t)((a ^ b) >> 32);
}

/* The index put with the name, or -1. */
static inline int64_t name_table_get(const struct name_table *t, const char *name, size_t len)
{
	if (t->slots == NULL)
		return -1;
	for (uint32_t i = name_hash(name, len);; i++) {
		const struct name_slot *s = &t->slots[i & t->mask];

		if (s->name == NULL)
			return -1;
		if (s->len == len && memcmp(s->name, name, len) == 0)
			return s->index;
	}
}

static inline const struct schema_field *lookup_name(const struct schema_message *m,
						     const char *name, size_t len)
{
	int64_t i = name_table_get(&m->lookup->names, name, len);

	return i < 0 ? NULL : &m->fields[i];
}

const struct schema_field *lookup_sparse(const struct schema_message *m, uint32_t number);

static inline const struct schema_field *lookup_number(const struct schema_message *m,
						       uint32_t number)
{
	const struct schema_lookup *l = m->lookup;

	if (number < l->n_dense)
		return l->by_number[number] ? &m->fields[l->by_number[number] - 1] : NULL;
	return lookup_sparse(m, number);
}

static inline const struct field_code *field_code(const struct schema_field *f)
{
	return &f->parent->lookup->codes[f->index];
}

/* schema_options.c: -ERRAND_INVALID_ARGUMENT with the reason in why. */
int options_method(struct schema *s, struct schema_method *m, struct bytes options,
		   char *why, size_t why_size);
int options_field(struct schema_field *f, struct bytes options, char *why, size_t why_size);
int options_message(struct schema_message *m, struct bytes options,
		    char *why, size_t why_size);

#endif
