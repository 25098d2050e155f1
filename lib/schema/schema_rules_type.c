/* schema_rules_type.c: FieldRules and the rule messages of each type (StringRules ...),
 * read by the tables of rule_table.h. */
#include "schema/loader_rules.h"

#include <stdio.h>

#include "base/err.h"
#include "schema/regex.h"
#include "schema/rule_table.h"
#include "schema/rule_value.h"

enum {
	FIELD_CEL = 23, FIELD_SKIPPED = 24, FIELD_REQUIRED = 25, FIELD_IGNORE_EMPTY = 26, FIELD_IGNORE = 27,
	FIELD_CEL_EXPRESSION = 29,
	EXTENSIONS = 1000,
	RULES_MAX = 40,
};

/* What is read of one rule message, before it is put in place. */
struct draft {
	const struct rules_place *at;
	const struct rule_type *type;
	const struct schema_field *field, *about;
	enum rules_part part;
	struct rule found[RULES_MAX]; /* by the table */
	bool has[RULES_MAX];
	union rule_value *examples;   /* owned by the draft; as the lists of found */
	size_t n_examples;
	bool loose;
};

static int refuse(const struct draft *d, const struct rule_def *def, const char *why)
{
	return loader_fail(d->at->loader, "%s.%s.%s: %s", d->at->name, d->type->name, def->name, why);
}

/* --- values --- */

static void append(union rule_value **list, size_t *n, union rule_value v)
{
	if ((*n & (*n - 1)) == 0)
		*list = xrealloc(*list, (*n ? *n * 2 : 1) * sizeof **list);
	(*list)[(*n)++] = v;
}

/* The option was put together in a buffer that goes away. */
static struct bytes keep(const struct draft *d, struct bytes b)
{
	return (struct bytes){(const uint8_t *)schema_strndup(d->at->loader->s, b.data, b.len), b.len};
}

static bool fits(const struct schema_field *about, const struct pbuf_field *f)
{
	return f->wire == wire_type(about->type);
}

/* A packed list of numbers. */
static bool read_packed(const struct schema_field *about, struct bytes raw, union rule_value **list, size_t *n)
{
	struct pbuf_reader r = pbuf_reader(raw.data, raw.len);
	struct pbuf_field f = {0};

	while (value_next_packed(&r, about->type, &f.value)) {
		union rule_value v = {0};

		value_read(about, &f, &v);
		append(list, n, v);
	}
	return !r.bad;
}

static bool read_values(struct draft *d, const struct pbuf_field *f, union rule_value **list, size_t *n)
{
	union rule_value v = {0};
	bool is_text = value_class(d->about) == VALUE_TEXT;

	if (!fits(d->about, f))
		return f->wire == PBUF_LEN && !is_text && d->about->message == NULL &&
		       read_packed(d->about, f->bytes, list, n);
	if (!value_read(d->about, f, &v))
		return false;
	if (is_text)
		v.text = keep(d, v.text);
	append(list, n, v);
	return true;
}

static bool read_paths(struct draft *d, struct bytes raw, struct rule *rule)
{
	struct pbuf_reader r = pbuf_reader(raw.data, raw.len);
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		if (f.number == 1 && f.wire == PBUF_LEN)
			append(&rule->list, &rule->n, (union rule_value){.text = keep(d, f.bytes)});
	return !r.bad;
}

static bool read_span(struct bytes raw, union rule_value *out)
{
	struct pbuf_reader r = pbuf_reader(raw.data, raw.len);
	struct pbuf_field f;

	while (pbuf_next(&r, &f)) {
		if (f.number == 1)
			out->time.s = (int64_t)f.value;
		else if (f.number == 2)
			out->time.ns = (int32_t)f.value;
	}
	return !r.bad;
}

/* --- rules of rules --- */

static int read_nested(struct draft *d, const struct rule_def *def, struct bytes raw, struct rule *rule)
{
	AUTO_FREE char *name = xasprintf("%s.%s.%s", d->at->name, d->type->name, def->name);
	struct rules_place at = {d->at->loader, name};
	const struct schema_field *f = d->field;
	AUTO_BUF all = BUF_INIT;

	if (def->form != FORM_ITEMS)
		f = &f->message->fields[def->form == FORM_VALUES];
	/* a part of the same rules may have come before: value.text has it */
	buf_append(&all, rule->value.text.data, rule->value.text.len);
	buf_append(&all, raw.data, raw.len);
	rule->value.text = keep(d, buf_bytes(&all));
	return loader_field_rules(&at, f, RULES_ELEMENT, false, rule->value.text, &rule->nested);
}

static int read_pattern(struct draft *d, const struct rule_def *def, struct rule *rule)
{
	char why[200], text[300];

	if (regex_new(d->at->loader->s, rule->value.text, &rule->regex, why, sizeof why) == 0)
		return 0;
	snprintf(text, sizeof text, "the pattern is refused: %s", why);
	return refuse(d, def, text);
}

/* --- one rule --- */

static void set_format(struct rule *rule, unsigned format, bool on, bool *has)
{
	rule->format = (enum rule_format)format;
	*has = on;
}

static int read_regex(struct draft *d, const struct rule_def *def, uint64_t v, size_t i)
{
	if (v > 2)
		return refuse(d, def, "this KnownRegex is not known");
	set_format(&d->found[i], v == 1 ? RULE_HEADER_NAME : RULE_HEADER_VALUE, v != 0, &d->has[i]);
	return 0;
}

/* The wire type a form is written with; -1: as the field, checked there. */
static int form_wire(enum rule_form form)
{
	static const int8_t wires[] = {
		[FORM_VALUE] = -1, [FORM_LIST] = -1, [FORM_EXAMPLE] = -1, [FORM_NOTHING] = -1,
		[FORM_TEXT] = PBUF_LEN, [FORM_TEXTS] = PBUF_LEN, [FORM_PATTERN] = PBUF_LEN,
		[FORM_SPAN] = PBUF_LEN, [FORM_MASK] = PBUF_LEN, [FORM_ITEMS] = PBUF_LEN,
		[FORM_KEYS] = PBUF_LEN, [FORM_VALUES] = PBUF_LEN,
		[FORM_COUNT] = PBUF_VARINT, [FORM_SWITCH] = PBUF_VARINT, [FORM_KNOWN] = PBUF_VARINT,
		[FORM_REGEX] = PBUF_VARINT, [FORM_STRICT] = PBUF_VARINT,
	};

	return wires[form];
}

static int read_rule(struct draft *d, const struct rule_def *def, const struct pbuf_field *f)
{
	size_t i = (size_t)(def - d->type->defs);
	struct rule *rule = &d->found[i];
	int wire = form_wire((enum rule_form)def->form);
	bool good = wire < 0 || f->wire == (enum pbuf_wire)wire;

	rule->kind = (enum rule_kind)def->kind;
	if (!good)
		return refuse(d, def, "its value does not parse");
	switch ((enum rule_form)def->form) {
	case FORM_VALUE:
		good = fits(d->about, f) && value_read(d->about, f, &rule->value);
		break;
	case FORM_LIST:
		good = read_values(d, f, &rule->list, &rule->n);
		break;
	case FORM_EXAMPLE:
		return read_values(d, f, &d->examples, &d->n_examples) ? 0 : refuse(d, def, "its value does not parse");
	case FORM_TEXT:
	case FORM_PATTERN:
		rule->value.text = keep(d, f->bytes);
		break;
	case FORM_TEXTS:
		append(&rule->list, &rule->n, (union rule_value){.text = keep(d, f->bytes)});
		break;
	case FORM_COUNT:
		rule->value.u = f->value;
		break;
	case FORM_SWITCH:
		d->has[i] = f->value != 0;
		return 0;
	case FORM_KNOWN:
		set_format(rule, def->format, f->value != 0, &d->has[i]);
		return 0;
	case FORM_REGEX:
		return read_regex(d, def, f->value, i);
	case FORM_STRICT:
		d->loose = f->value == 0;
		return 0;
	case FORM_SPAN:
		good = read_span(f->bytes, &rule->value);
		break;
	case FORM_MASK:
		good = read_paths(d, f->bytes, rule);
		break;
	case FORM_ITEMS:
	case FORM_KEYS:
	case FORM_VALUES:
		d->has[i] = true;
		return read_nested(d, def, f->bytes, rule);
	case FORM_NOTHING:
		return 0;
	}
	d->has[i] = true;
	return good ? 0 : refuse(d, def, "its value does not parse");
}

static int read_type(struct draft *d, struct bytes raw)
{
	struct pbuf_reader r = pbuf_reader(raw.data, raw.len);
	struct pbuf_field f;
	int err = 0;

	while (err == 0 && pbuf_next(&r, &f)) {
		const struct rule_def *def = rule_type_find(d->type, f.number);

		if (def == NULL && f.number >= EXTENSIONS)
			return loader_fail(d->at->loader, "%s.%s: extension %u is a predefined rule: errand does "
					   "not evaluate CEL; use standard rules", d->at->name, d->type->name, f.number);
		if (def == NULL)
			return loader_fail(d->at->loader, "%s.%s: its rule %u is not known", d->at->name,
					   d->type->name, f.number);
		err = read_rule(d, def, &f);
	}
	if (r.bad)
		return loader_fail(d->at->loader, "%s.%s does not parse", d->at->name, d->type->name);
	return err;
}

/* --- together --- */

static struct rule *found_kind(struct draft *d, enum rule_kind a, enum rule_kind b, const char **namep)
{
	for (size_t i = 0; d->type->defs[i].number != 0; i++) {
		if (!d->has[i] || (d->found[i].kind != a && d->found[i].kind != b))
			continue;
		if (namep != NULL)
			*namep = d->type->defs[i].name;
		return &d->found[i];
	}
	return NULL;
}

/* What no value could keep is a mistake of the schema, told when it is loaded. */
static int check_counts(struct draft *d)
{
	static const struct { enum rule_kind min, max; const char *names; } pairs[] = {
		{RULE_MIN_LEN, RULE_MAX_LEN, "min_len is above max_len"},
		{RULE_MIN_BYTES, RULE_MAX_BYTES, "min_bytes is above max_bytes"},
		{RULE_MIN_ITEMS, RULE_MAX_ITEMS, "min_items is above max_items"},
		{RULE_MIN_PAIRS, RULE_MAX_PAIRS, "min_pairs is above max_pairs"},
	};

	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		const struct rule *min = found_kind(d, pairs[i].min, pairs[i].min, NULL);
		const struct rule *max = found_kind(d, pairs[i].max, pairs[i].max, NULL);

		if (min != NULL && max != NULL && min->value.u > max->value.u)
			return loader_fail(d->at->loader, "%s.%s: %s: no value can keep both", d->at->name,
					   d->type->name, pairs[i].names);
	}
	return 0;
}

/* Any only has its type's URL compared, a list of messages nothing. */
static int check_types(struct draft *d)
{
	for (size_t i = 0; d->type->defs[i].number != 0; i++) {
		struct rule *rule = &d->found[i];
		int err = 0;

		if (!d->has[i])
			continue;
		if (rule->kind == RULE_UNIQUE && d->field->message != NULL &&
		    d->field->message->well_known != WK_WRAPPER)
			return refuse(d, &d->type->defs[i], "is for scalars and enums, not for messages");
		if (rule->kind == RULE_PATTERN)
			err = read_pattern(d, &d->type->defs[i], rule);
		if (err < 0)
			return err;
	}
	return 0;
}

static const char *make_id(struct draft *d, const char *name, const char *more, const char *end)
{
	char id[100];

	snprintf(id, sizeof id, "%s.%s%s%s%s", d->type->name, name, *more ? "_" : "", more, end);
	return schema_strndup(d->at->loader->s, id, strlen(id));
}

/* A rule's id by itself. */
static void name_rule(struct draft *d, const struct rule_def *def, struct rule *rule)
{
	const char *name = def->name;
	bool may_be_empty = rule->format == RULE_URI_REF || rule->format == RULE_HEADER_VALUE;

	if (rule->format == RULE_HEADER_NAME)
		name = "well_known_regex.header_name";
	else if (rule->format == RULE_HEADER_VALUE)
		name = "well_known_regex.header_value";
	rule->id = make_id(d, name, "", "");
	if (rule->kind == RULE_FORMAT && !may_be_empty)
		rule->id_empty = make_id(d, name, "", "_empty");
	rule->strict = !d->loose;
}

/* Two bounds are one rule for those who read violations: "int32.gte_lt". */
static void name_range(struct draft *d, struct rules *out)
{
	const char *low_name = NULL, *high_name = NULL;
	const struct rule *low = found_kind(d, RULE_GT, RULE_GTE, &low_name);
	const struct rule *high = found_kind(d, RULE_LT, RULE_LTE, &high_name);
	bool outside;
	const char *id;

	if (low == NULL || high == NULL)
		return;
	outside = value_compare(value_class(d->about), &high->value, &low->value) < 0;
	id = make_id(d, low_name, high_name, outside ? "_exclusive" : "");
	low = high = NULL;
	for (size_t i = 0; i < out->n; i++) {
		struct rule *r = &out->list[i];

		if (r->kind < RULE_LT || r->kind > RULE_GTE)
			continue;
		*(r->kind <= RULE_LTE ? &high : &low) = r;
		r->id = id;
		r->outside = outside;
	}
	((struct rule *)low)->bound = high;
	((struct rule *)high)->bound = low;
}

static union rule_value *settle_list(struct draft *d, union rule_value *list, size_t n)
{
	union rule_value *kept = n == 0 ? NULL : schema_alloc(d->at->loader->s, n * sizeof *list);

	if (n > 0)
		memcpy(kept, list, n * sizeof *list);
	return kept;
}

static int settle(struct draft *d, struct rules *out)
{
	static const enum rule_kind once[][2] = {{RULE_LT, RULE_LTE}, {RULE_GT, RULE_GTE}};
	size_t n = 0;
	int err = check_counts(d);

	if (err == 0)
		err = check_types(d);
	for (size_t i = 0; d->type->defs[i].number != 0; i++)
		n += d->has[i];
	out->list = schema_alloc(d->at->loader->s, n * sizeof *out->list);
	for (size_t i = 0; d->type->defs[i].number != 0; i++) {
		struct rule *rule = &d->found[i];

		if (!d->has[i])
			continue;
		name_rule(d, &d->type->defs[i], rule);
		out->list[out->n] = *rule;
		out->list[out->n++].list = settle_list(d, rule->list, rule->n);
	}
	for (size_t k = 0; k < ARRAY_LEN(once) && err == 0; k++) {
		size_t count = 0;

		for (size_t i = 0; i < out->n; i++)
			count += out->list[i].kind == once[k][0] || out->list[i].kind == once[k][1];
		if (count > 1)
			err = loader_fail(d->at->loader, "%s.%s: gives two %s bounds", d->at->name, d->type->name,
					  k == 0 ? "upper" : "lower");
	}
	if (err == 0)
		name_range(d, out);
	out->examples = settle_list(d, d->examples, d->n_examples);
	out->n_examples = d->n_examples;
	return err;
}

static void draft_deinit(struct draft *d)
{
	for (size_t i = 0; i < RULES_MAX; i++)
		free(d->found[i].list);
	free(d->examples);
}

/* --- FieldRules --- */

/* The field a wrapper's rules are about is the one in it. */
static const struct schema_field *subject(const struct schema_field *f)
{
	bool wrapped = f->message != NULL && f->message->well_known == WK_WRAPPER;

	return wrapped ? &f->message->fields[0] : f;
}

/* The number in FieldRules of the rules f may have; 0: none but required. */
static unsigned expected_type(const struct schema_field *f, enum rules_part part)
{
	const struct schema_field *about = subject(f);

	if (part == RULES_WHOLE && f->repeated)
		return f->map ? TYPE_MAP : TYPE_REPEATED;
	switch (value_class(about)) {
	case VALUE_TIME:
		return about->message->well_known == WK_DURATION ? TYPE_DURATION : TYPE_TIMESTAMP;
	case VALUE_ANY:
		return TYPE_ANY;
	case VALUE_MASK:
		return TYPE_FIELD_MASK;
	case VALUE_MESSAGE:
		return 0;
	default:
		return rule_type_of_field(about->type);
	}
}

static int wrong_type(const struct rules_place *at, unsigned expected, unsigned got)
{
	if (expected == 0)
		return loader_fail(at->loader, "%s.%s: this field's type has no rules but required and ignore",
				   at->name, rule_type_at(got)->name);
	return loader_fail(at->loader, "%s.%s: the rules of this field are those of %s", at->name,
			   rule_type_at(got)->name, rule_type_at(expected)->name);
}

static int refuse_number(const struct rules_place *at, uint32_t number)
{
	if (number == FIELD_CEL || number == FIELD_CEL_EXPRESSION)
		return loader_fail(at->loader, "%s.cel: errand does not evaluate CEL; use standard rules, or check "
				   "it in the handler", at->name);
	if (number == FIELD_SKIPPED || number == FIELD_IGNORE_EMPTY)
		return loader_fail(at->loader, "%s.%s is not in protovalidate 1.0 any more: use ignore", at->name,
				   number == FIELD_SKIPPED ? "skipped" : "ignore_empty");
	return loader_fail(at->loader, "%s: its rule %u is not known", at->name, number);
}

static int read_ignore(const struct rules_place *at, uint64_t v, struct rules *rules)
{
	if (v != RULE_IGNORE_UNSPECIFIED && v != RULE_IGNORE_IF_ZERO && v != RULE_IGNORE_ALWAYS)
		return loader_fail(at->loader, "%s.ignore: %llu is none of IGNORE_UNSPECIFIED, "
				   "IGNORE_IF_ZERO_VALUE, IGNORE_ALWAYS", at->name, (unsigned long long)v);
	rules->ignore = (enum rule_ignore)v;
	return 0;
}

/* All but the rules of the type, whose bytes are gathered. */
static int read_general(const struct rules_place *at, struct bytes raw, struct rules *rules, unsigned *typep,
			struct buf *of_type)
{
	struct pbuf_reader r = pbuf_reader(raw.data, raw.len);
	struct pbuf_field f;
	int err = 0;

	while (err == 0 && pbuf_next(&r, &f)) {
		if (f.wire == PBUF_LEN && rule_type_at(f.number) != NULL) {
			if (*typep != 0 && *typep != f.number)
				return loader_fail(at->loader, "%s: gives rules of %s and of %s", at->name,
						   rule_type_at(*typep)->name, rule_type_at(f.number)->name);
			*typep = f.number;
			buf_append(of_type, f.bytes.data, f.bytes.len);
		} else if (f.wire != PBUF_VARINT && (f.number == FIELD_REQUIRED || f.number == FIELD_IGNORE)) {
			return loader_fail(at->loader, "%s does not parse", at->name);
		} else if (f.number == FIELD_REQUIRED) {
			rules->required = f.value != 0;
		} else if (f.number == FIELD_IGNORE) {
			err = read_ignore(at, f.value, rules);
		} else {
			err = refuse_number(at, f.number);
		}
	}
	return r.bad ? loader_fail(at->loader, "%s does not parse", at->name) : err;
}

int loader_field_rules(const struct rules_place *at, const struct schema_field *f, enum rules_part part,
		       bool alternative, struct bytes raw, const struct rules **out)
{
	struct rules *rules = schema_alloc(at->loader->s, sizeof *rules);
	unsigned expected = expected_type(f, part), type = 0;
	AUTO_BUF of_type = BUF_INIT;
	struct draft d = {.at = at, .field = f, .about = subject(f), .part = part};
	int err;

	rules->ignore = alternative ? RULE_IGNORE_IF_ZERO : RULE_IGNORE_UNSPECIFIED;
	rules->about = part == RULES_WHOLE && f->repeated ? f : d.about;
	err = read_general(at, raw, rules, &type, &of_type);
	if (err < 0)
		return err;
	*out = rules;
	if (type == 0)
		return 0;
	if (type != expected)
		return wrong_type(at, expected, type);
	d.type = rule_type_at(type);
	err = read_type(&d, buf_bytes(&of_type));
	if (err == 0)
		err = settle(&d, rules);
	draft_deinit(&d);
	return err;
}
