/* validate.c: the walk over wire bytes, one level at a time. Each field's last value
 * is noted in a slot on the stack; lists and maps are read a second time between their
 * first and last record. The odd message whose parts must be merged first is written
 * anew. Nothing is allocated while a message has few fields and its maps few entries. */
#include "schema/validate.h"

#include <stdlib.h>

#include "base/err.h"
#include "schema/keyset.h"
#include "schema/validator.h"

enum { SLOTS_FEW = 32, ENTRIES_FEW = 16, DEPTH_MAX = 100 };

/* One field, by its index. */
struct slot {
	struct pbuf_field value; /* the last; of a list the first */
	const uint8_t *end;      /* of a list: behind the last record */
	uint32_t n;              /* records that count */
	uint32_t chosen;         /* of the oneof with this index: its member's index + 1 */
};

static void check_message(struct validator *v, const struct schema_message *m, struct bytes wire,
			  const struct validate_place *up);

/* --- one level --- */

/* Another member of a oneof that came before never was. */
static void choose(struct slot *slots, const struct schema_field *f)
{
	uint32_t *chosen = &slots[f->oneof].chosen;

	if (*chosen != 0 && *chosen != f->index + 1)
		slots[*chosen - 1].n = 0;
	*chosen = (uint32_t)f->index + 1;
}

/* 0; 1: a singular message came in parts; -1: malformed. */
static int gather(const struct schema_message *m, struct bytes wire, struct slot *slots)
{
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	struct pbuf_field f;
	int parts = 0;

	while (wire_next(&r, &f)) {
		const struct schema_field *field = lookup_number(m, f.number);
		struct slot *slot;

		if (field == NULL || !wire_fits(field, f.wire))
			continue;
		slot = &slots[field->index];
		if (field->oneof >= 0)
			choose(slots, field);
		if (slot->n++ == 0 || !field->repeated)
			slot->value = f;
		slot->end = r.p;
		if (slot->n > 1 && !field->repeated && wire_is_message(field))
			parts = 1;
	}
	return r.bad ? -1 : parts;
}

/* The level anew: in order, every singular message in one piece. */
static bool flatten(const struct schema_message *m, struct bytes wire, struct buf *out)
{
	struct wire_index x;

	if (wire_index_init(&x, m, wire) < 0)
		return false;
	for (size_t i = 0; i < x.n; i++) {
		const struct wire_item *item = &x.items[i];
		size_t body;

		if (item->raw.data != NULL) {
			buf_append(out, item->raw.data, item->raw.len);
			continue;
		}
		wire_put_tag(out, item->field);
		body = item->field->type == FIELD_GROUP ? 0 : wire_open(out);
		buf_append(out, item->value.bytes.data, item->value.bytes.len);
		if (item->field->type == FIELD_GROUP)
			pbuf_put_tag(out, item->field->number, PBUF_EGROUP);
		else
			wire_close(out, body);
	}
	wire_index_deinit(&x);
	return true;
}

/* gather, whatever it takes. merged: to be kept as long as the slots. */
static bool gather_whole(const struct schema_message *m, struct bytes wire, struct slot *slots, struct buf *merged)
{
	int parts = gather(m, wire, slots);

	if (parts > 0) {
		if (!flatten(m, wire, merged))
			return false;
		memset(slots, 0, MAX(m->n_fields, (size_t)1) * sizeof *slots);
		parts = gather(m, buf_bytes(merged), slots);
	}
	return parts == 0;
}

/* --- one value --- */

static void check_inside(struct validator *v, const struct schema_field *f, const struct pbuf_field *value,
			 const struct validate_place *at)
{
	if (f->message != NULL && f->message->has_rules)
		check_message(v, f->message, value->bytes, at);
}

/* An element, a key or a value: it is always there. */
static void check_element(struct validator *v, const struct rules *rules, const struct schema_field *f,
			  const struct pbuf_field *value, const struct validate_place *at, bool as_key)
{
	if (rules != NULL) {
		if (rules->ignore == RULE_IGNORE_ALWAYS)
			return;
		if (rules->ignore == RULE_IGNORE_IF_ZERO && validator_is_zero(rules, value, f))
			return;
		validator_value(v, rules, value, f, at, as_key);
	}
	check_inside(v, f, value, at);
}

static const struct rule *find_rule(const struct rules *rules, enum rule_kind kind)
{
	for (size_t i = 0; rules != NULL && i < rules->n; i++)
		if (rules->list[i].kind == kind)
			return &rules->list[i];
	return NULL;
}

static const struct rules *nested(const struct rules *rules, enum rule_kind kind)
{
	const struct rule *r = find_rule(rules, kind);

	return r != NULL ? r->nested : NULL;
}

static void check_count(struct validator *v, const struct rules *rules, size_t n, const struct validate_place *at)
{
	for (size_t i = 0; rules != NULL && i < rules->n; i++) {
		const struct rule *r = &rules->list[i];
		bool least = r->kind == RULE_MIN_ITEMS || r->kind == RULE_MIN_PAIRS;
		bool most = r->kind == RULE_MAX_ITEMS || r->kind == RULE_MAX_PAIRS;

		if ((least && n < r->value.u) || (most && n > r->value.u))
			validator_fault(v, at, r->id, NULL, 0, "must have at %s %llu %s, has %zu",
					least ? "least" : "most", (unsigned long long)r->value.u,
					r->kind <= RULE_MAX_ITEMS ? "elements" : "entries", n);
	}
}

/* --- lists --- */

struct list_reader {
	const struct schema_field *field;
	struct pbuf_reader records, packed;
};

static struct list_reader list_reader(const struct schema_field *f, const struct slot *slot)
{
	struct list_reader l = {.field = f};

	if (slot->n > 0)
		l.records = pbuf_reader(slot->value.start, (size_t)(slot->end - slot->value.start));
	return l;
}

static bool list_next(struct list_reader *l, struct pbuf_field *out)
{
	enum pbuf_wire wire = wire_type(l->field->type);

	for (;;) {
		if (value_next_packed(&l->packed, l->field->type, &out->value)) {
			out->wire = wire;
			return true;
		}
		if (!wire_next(&l->records, out))
			return false;
		if (out->number != l->field->number || !wire_fits(l->field, out->wire))
			continue;
		if (out->wire == wire)
			return true;
		l->packed = pbuf_reader(out->bytes.data, out->bytes.len);
	}
}

static size_t count_elements(const struct schema_field *f, const struct slot *slot)
{
	struct list_reader l = list_reader(f, slot);
	struct pbuf_field value;
	size_t n = 0;

	if (slot->n == 0)
		return 0;
	while (list_next(&l, &value))
		n++;
	return n;
}

/* What an element is compared by; a number's bytes are kept in *kept. False: equal to
 * nothing, as NaN. */
static bool unique_key(const struct schema_field *f, const struct pbuf_field *value, union rule_value *kept,
		       struct bytes *out)
{
	const struct schema_field *about = f->message != NULL ? &f->message->fields[0] : f;
	enum value_class c = value_class(about);

	if (f->message != NULL) {
		*out = value->bytes; /* a wrapper */
		return true;
	}
	*kept = (union rule_value){0};
	value_read(about, value, kept);
	*out = kept->text;
	if (c == VALUE_TEXT)
		return true;
	if (c == VALUE_FLOATING && kept->d == 0)
		kept->d = 0; /* -0 is 0 */
	*out = (struct bytes){(const uint8_t *)kept, 8};
	return c != VALUE_FLOATING || kept->d == kept->d;
}

static void check_unique(struct validator *v, const struct rule *rule, const struct schema_field *f,
			 const struct slot *slot, size_t n, const struct validate_place *at)
{
	struct list_reader l = list_reader(f, slot);
	union rule_value few[ENTRIES_FEW], *kept = n > ENTRIES_FEW ? xcalloc(n, sizeof *kept) : few;
	struct pbuf_field value;
	AUTO_KEYSET keys;

	keyset_init(&keys);
	for (size_t i = 0; i < n && list_next(&l, &value); i++) {
		struct bytes key;
		int64_t first;

		if (!unique_key(f, &value, &kept[i], &key))
			continue;
		first = keyset_add(&keys, key);
		if (first >= 0)
			continue;
		validator_fault(v, at, rule->id, NULL, 0, "must have no element twice: number %zu is there before", i);
		break;
	}
	if (kept != few)
		free(kept);
}

static void check_elements(struct validator *v, const struct schema_field *f, const struct slot *slot,
			   const struct rules *rules, const struct validate_place *up)
{
	struct validate_place at = {.up = up, .field = f, .is_item = true};
	struct list_reader l = list_reader(f, slot);
	struct pbuf_field value;

	if (rules == NULL && (f->message == NULL || !f->message->has_rules))
		return;
	for (; list_next(&l, &value); at.index++)
		check_element(v, rules, f, &value, &at, false);
}

static void check_list(struct validator *v, const struct schema_field *f, const struct slot *slot, size_t n,
		       const struct validate_place *up)
{
	struct validate_place at = {.up = up, .field = f};
	const struct rule *unique = find_rule(f->rules, RULE_UNIQUE);

	check_count(v, f->rules, n, &at);
	if (n == 0)
		return;
	if (unique != NULL && n > 1)
		check_unique(v, unique, f, slot, n, &at);
	check_elements(v, f, slot, nested(f->rules, RULE_ITEMS), up);
}

/* --- maps --- */

/* Which entries count: of those with the same key the last. */
struct entries {
	size_t n;          /* records */
	uint64_t *numbers; /* keys that are no text */
	uint32_t *last;    /* by key: its last record */
	bool *dead;        /* by record */
};

static struct bytes entry_key(const struct schema_field *key, const struct slot *slot, uint64_t *number)
{
	union rule_value value = {0};

	if (slot->n > 0)
		value_read(key, &slot->value, &value);
	if (value_class(key) == VALUE_TEXT)
		return value.text;
	*number = value.u;
	return (struct bytes){(const uint8_t *)number, 8};
}

/* The number of different keys. */
static size_t find_dead(const struct schema_field *f, const struct slot *slot, struct entries *e)
{
	struct list_reader l = list_reader(f, slot);
	struct pbuf_field value;
	AUTO_KEYSET keys;

	keyset_init(&keys);
	for (uint32_t i = 0; i < e->n && list_next(&l, &value); i++) {
		struct slot parts[2] = {0};
		int64_t key;

		gather(f->message, value.bytes, parts);
		key = keyset_add(&keys, entry_key(&f->message->fields[0], &parts[0], &e->numbers[i]));
		if (key < 0) {
			key = -1 - key;
			e->dead[e->last[key]] = true;
		}
		e->last[key] = i;
	}
	return keys.n;
}

static void check_entry(struct validator *v, const struct schema_field *f, struct bytes wire,
			const struct validate_place *up)
{
	const struct schema_field *key = &f->message->fields[0], *value = &f->message->fields[1];
	struct slot parts[2] = {0};
	struct validate_place at = {.up = up, .field = f, .key_field = key, .key = &parts[0].value};
	AUTO_BUF merged = BUF_INIT;
	const struct rules *rules;

	if (!gather_whole(f->message, wire, parts, &merged))
		return;
	rules = nested(f->rules, RULE_KEYS);
	if (rules != NULL)
		check_element(v, rules, key, &parts[0].value, &at, true);
	check_element(v, nested(f->rules, RULE_VALUES), value, &parts[1].value, &at, false);
}

static void check_entries(struct validator *v, const struct schema_field *f, const struct slot *slot,
			  const struct entries *e, const struct validate_place *up)
{
	struct list_reader l = list_reader(f, slot);
	struct pbuf_field value;

	for (size_t i = 0; i < e->n && list_next(&l, &value); i++)
		if (!e->dead[i])
			check_entry(v, f, value.bytes, up);
}

static void check_map(struct validator *v, const struct schema_field *f, const struct slot *slot,
		      const struct validate_place *up)
{
	struct validate_place at = {.up = up, .field = f};
	uint64_t numbers[ENTRIES_FEW];
	uint32_t last[ENTRIES_FEW];
	bool dead[ENTRIES_FEW] = {false};
	struct entries e = {slot->n, numbers, last, dead};
	void *many = NULL;

	if (e.n > ENTRIES_FEW) {
		many = xcalloc(e.n, 13);
		e.numbers = many;
		e.last = (uint32_t *)(e.numbers + e.n);
		e.dead = (bool *)(e.last + e.n);
	}
	check_count(v, f->rules, find_dead(f, slot, &e), &at);
	check_entries(v, f, slot, &e, up);
	free(many);
}

/* --- fields --- */

static bool is_populated(const struct schema_field *f, const struct slot *slot)
{
	union rule_value value = {0};

	if (slot->n == 0)
		return false;
	if (f->presence)
		return true;
	value_read(f, &slot->value, &value);
	return !value_is_zero(value_class(f), &value);
}

static void check_field(struct validator *v, const struct schema_field *f, const struct slot *slot,
			const struct validate_place *up)
{
	const struct rules *rules = f->rules;
	struct validate_place at = {.up = up, .field = f};
	bool inside = f->message != NULL && f->message->has_rules;
	size_t n = 0;
	bool populated;

	if ((rules == NULL && !inside) || (rules != NULL && rules->ignore == RULE_IGNORE_ALWAYS))
		return;
	if (f->repeated)
		n = f->map ? slot->n : count_elements(f, slot);
	populated = f->repeated ? n > 0 : is_populated(f, slot);
	if (!populated && rules != NULL && rules->required) {
		validator_fault(v, &at, "required", NULL, 0, f->presence ? "must be given" :
				f->repeated ? "must be given and not be empty" : "must be given and not be zero or empty");
		return;
	}
	if (!populated && (f->presence || rules == NULL || rules->ignore == RULE_IGNORE_IF_ZERO))
		return;
	if (f->map) {
		check_map(v, f, slot, up);
	} else if (f->repeated) {
		check_list(v, f, slot, n, up);
	} else {
		if (rules != NULL && rules->n > 0)
			validator_value(v, rules, &slot->value, f, &at, false);
		check_inside(v, f, &slot->value, &at);
	}
}

/* --- messages --- */

static void put_names(struct buf *b, const struct rule_oneof *o)
{
	for (size_t i = 0; i < o->n; i++)
		buf_printf(b, "%s%s", i > 0 ? ", " : "", o->fields[i]->out_name);
}

static void check_alternatives(struct validator *v, const struct rule_oneof *o, const struct slot *slots,
			       const struct validate_place *up)
{
	struct validate_place at = {.up = up, .field = o->fields[0], .is_group = true};
	AUTO_BUF names = BUF_INIT;
	size_t n = 0;

	for (size_t i = 0; i < o->n; i++) {
		const struct schema_field *f = o->fields[i];
		const struct slot *slot = &slots[f->index];

		n += f->repeated ? count_elements(f, slot) > 0 : is_populated(f, slot);
	}
	if (n == 1 || (n == 0 && !o->required))
		return;
	put_names(&names, o);
	validator_fault(v, &at, "message.oneof", NULL, 0, n > 1 ? "only one may be given of: %s" :
			"one must be given of: %s", buf_cstr(&names));
}

static void check_oneof(struct validator *v, const struct schema_message *m, size_t oneof,
			const struct slot *slots, const struct validate_place *up)
{
	struct validate_place at = {.up = up, .is_group = true};
	AUTO_BUF names = BUF_INIT;

	for (size_t i = 0; i < m->n_fields; i++) {
		if (m->fields[i].oneof != (int)oneof)
			continue;
		if (slots[i].n > 0)
			return;
		buf_printf(&names, "%s%s", at.field != NULL ? ", " : "", m->fields[i].out_name);
		if (at.field == NULL)
			at.field = &m->fields[i];
	}
	validator_fault(v, &at, "required", NULL, 0, "one of %s must be given: %s", m->oneofs[oneof],
			buf_cstr(&names));
}

static void check_level(struct validator *v, const struct schema_message *m, struct bytes wire,
			const struct validate_place *up, struct slot *slots)
{
	const struct message_rules *rules = m->rules;
	AUTO_BUF merged = BUF_INIT;

	if (!gather_whole(m, wire, slots, &merged))
		return;
	for (size_t i = 0; rules != NULL && i < rules->n_oneofs; i++)
		check_alternatives(v, &rules->oneofs[i], slots, up);
	for (size_t i = 0; rules != NULL && rules->oneof_required != NULL && i < m->n_oneofs; i++)
		if (rules->oneof_required[i])
			check_oneof(v, m, i, slots, up);
	for (size_t i = 0; i < m->n_fields; i++)
		check_field(v, &m->fields[i], &slots[i], up);
}

static void check_message(struct validator *v, const struct schema_message *m, struct bytes wire,
			  const struct validate_place *up)
{
	struct slot few[SLOTS_FEW], *slots = few;

	if (v->depth == DEPTH_MAX)
		return; /* who unpacks it refuses it */
	v->depth++;
	if (m->n_fields > SLOTS_FEW)
		slots = xcalloc(m->n_fields, sizeof *slots);
	for (size_t i = 0; i < m->n_fields; i++) {
		slots[i].n = slots[i].chosen = 0;
		slots[i].value = (struct pbuf_field){0};
	}
	check_level(v, m, wire, up, slots);
	if (slots != few)
		free(slots);
	v->depth--;
}

int validate_message(const struct schema_message *m, struct bytes wire, const struct route *origin,
		     struct fault_list *faults)
{
	struct validator v = {.origin = origin, .faults = faults, .n_before = faults->n + faults->n_dropped};

	if (!m->has_rules)
		return 0;
	check_message(&v, m, wire, NULL);
	return faults->n + faults->n_dropped > v.n_before ? -ERRAND_INVALID_ARGUMENT : 0;
}
