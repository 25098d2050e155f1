/* schema_rules.c: the walk over messages that reads (buf.validate.message), (oneof) and
 * (field), known by number. It comes after all fields are known, as a rule is about the
 * type of what a field holds. schema_rules_type.c reads the rules of one type. */
#include "schema/loader.h"
#include "schema/loader_rules.h"

#include <string.h>

#include "base/err.h"

enum {
	OPTION_RULES = 1159, /* (buf.validate.message), (oneof), (field) */
	MESSAGE_FIELD = 2, MESSAGE_OPTIONS = 7, MESSAGE_ONEOF = 8,
	FIELD_NUMBER = 3, FIELD_OPTIONS = 8, ONEOF_NAME = 1, ONEOF_OPTIONS = 2,
	MESSAGE_DISABLED = 1, MESSAGE_CEL = 3, MESSAGE_RULE_ONEOF = 4, MESSAGE_CEL_EXPRESSION = 5,
};

/* The entries of one option in a row: that is what they are together. */
static bool gather(struct bytes options, struct buf *out)
{
	struct pbuf_reader r = pbuf_reader(options.data, options.len);
	struct pbuf_field f;
	bool found = false;

	while (pbuf_next(&r, &f)) {
		if (f.number != OPTION_RULES || f.wire != PBUF_LEN)
			continue;
		buf_append(out, f.bytes.data, f.bytes.len);
		found = true;
	}
	return found;
}

/* --- messages --- */

static int add_oneof(struct loader *l, struct schema_message *m, struct rule_oneof *o, struct bytes raw)
{
	struct pbuf_reader r = pbuf_reader(raw.data, raw.len);
	struct pbuf_field f;

	o->fields = schema_alloc(l->s, (raw.len / 2 + 1) * sizeof(void *));
	while (pbuf_next(&r, &f)) {
		const struct schema_field *field;

		if (f.number == 2) {
			o->required = f.value != 0;
			continue;
		}
		if (f.number != 1 || f.wire != PBUF_LEN)
			return loader_fail(l, "%s: (buf.validate.message).oneof has a rule %u, which is not known",
					   m->name, f.number);
		field = schema_field(m, (const char *)f.bytes.data, f.bytes.len);
		if (field == NULL || strlen(field->name) != f.bytes.len)
			return loader_fail(l, "%s: (buf.validate.message).oneof names %.*s, which is not a field of it",
					   m->name, (int)MIN(f.bytes.len, 100), (const char *)f.bytes.data);
		for (size_t i = 0; i < o->n; i++)
			if (o->fields[i] == field)
				return loader_fail(l, "%s: (buf.validate.message).oneof names %s twice", m->name,
						   field->name);
		o->fields[o->n++] = field;
	}
	if (r.bad || o->n == 0)
		return loader_fail(l, "%s: (buf.validate.message).oneof names no fields", m->name);
	return 0;
}

static struct message_rules *own_rules(struct loader *l, struct schema_message *m)
{
	if (m->rules == NULL)
		m->rules = schema_alloc(l->s, sizeof *m->rules);
	return (struct message_rules *)m->rules;
}

static int message_rules(struct loader *l, struct schema_message *m, struct bytes raw)
{
	struct pbuf_reader r = pbuf_reader(raw.data, raw.len);
	struct message_rules *rules = own_rules(l, m);
	struct pbuf_field f;
	size_t n = 0;
	int err = 0;

	while (pbuf_next(&r, &f))
		n += f.number == MESSAGE_RULE_ONEOF;
	rules->oneofs = schema_alloc(l->s, (n + 1) * sizeof *rules->oneofs);
	r = pbuf_reader(raw.data, raw.len);
	while (err == 0 && pbuf_next(&r, &f)) {
		if (f.number == MESSAGE_CEL || f.number == MESSAGE_CEL_EXPRESSION)
			return loader_fail(l, "%s: (buf.validate.message).cel: errand does not evaluate CEL; "
					   "use standard rules, or check it in the handler", m->name);
		if (f.number == MESSAGE_DISABLED && f.value == 0)
			continue;
		if (f.number == MESSAGE_DISABLED)
			return loader_fail(l, "%s: (buf.validate.message).disabled is not in protovalidate 1.0 "
					   "any more: use ignore on the fields that hold it", m->name);
		if (f.number != MESSAGE_RULE_ONEOF || f.wire != PBUF_LEN)
			return loader_fail(l, "%s: (buf.validate.message) has a rule %u, which is not known",
					   m->name, f.number);
		err = add_oneof(l, m, &rules->oneofs[rules->n_oneofs++], f.bytes);
	}
	if (r.bad)
		return loader_fail(l, "%s: (buf.validate.message) does not parse", m->name);
	return err;
}

static int oneof_rules(struct loader *l, struct schema_message *m, struct bytes name, struct bytes options)
{
	AUTO_BUF raw = BUF_INIT;
	struct pbuf_reader r;
	struct pbuf_field f;
	bool required = false;

	if (!gather(options, &raw))
		return 0;
	r = pbuf_reader(raw.data, raw.len);
	while (pbuf_next(&r, &f)) {
		if (f.number != 1 || f.wire != PBUF_VARINT)
			return loader_fail(l, "%s.%.*s: (buf.validate.oneof) has a rule %u, which is not known",
					   m->name, (int)MIN(name.len, 100), (const char *)name.data, f.number);
		required = f.value != 0;
	}
	if (r.bad)
		return loader_fail(l, "%s.%.*s: (buf.validate.oneof) does not parse", m->name,
				   (int)MIN(name.len, 100), (const char *)name.data);
	for (size_t i = 0; required && i < m->n_oneofs; i++) {
		struct message_rules *rules = own_rules(l, m);
		bool *list = (bool *)rules->oneof_required;

		if (strlen(m->oneofs[i]) != name.len || memcmp(m->oneofs[i], name.data, name.len) != 0)
			continue;
		if (list == NULL)
			rules->oneof_required = list = schema_alloc(l->s, m->n_oneofs * sizeof *list);
		list[i] = true;
	}
	return 0;
}

/* --- fields --- */

/* A member of (buf.validate.message).oneof is checked only when it is set. */
static bool is_alternative(const struct schema_message *m, const struct schema_field *f)
{
	for (size_t i = 0; m->rules != NULL && i < m->rules->n_oneofs; i++)
		for (size_t k = 0; k < m->rules->oneofs[i].n; k++)
			if (m->rules->oneofs[i].fields[k] == f)
				return true;
	return false;
}

static int field_rules(struct loader *l, struct schema_message *m, struct bytes raw_field)
{
	struct pbuf_reader r = pbuf_reader(raw_field.data, raw_field.len);
	AUTO_BUF raw = BUF_INIT;
	struct schema_field *field;
	struct rules_place at;
	AUTO_FREE char *name = NULL;
	struct pbuf_field f;
	uint64_t number = 0;
	bool found = false;

	while (pbuf_next(&r, &f)) {
		if (f.number == FIELD_NUMBER)
			number = f.value;
		else if (f.number == FIELD_OPTIONS && f.wire == PBUF_LEN)
			found |= gather(f.bytes, &raw);
	}
	if (!found)
		return 0;
	field = (struct schema_field *)schema_field_by_number(m, (uint32_t)number);
	name = xasprintf("%s.%s: (buf.validate.field)", m->name, field->name);
	at = (struct rules_place){.loader = l, .name = name};
	return loader_field_rules(&at, field, RULES_WHOLE, is_alternative(m, field), buf_bytes(&raw), &field->rules);
}

static int read_message(struct loader *l, struct pending_message *p)
{
	struct schema_message *m = p->message;
	struct pbuf_reader r = pbuf_reader(p->raw.data, p->raw.len);
	AUTO_BUF raw = BUF_INIT;
	struct pbuf_field f, in;
	bool found = false;
	int err = 0;

	while (err == 0 && pbuf_next(&r, &f)) {
		struct pbuf_reader nested = pbuf_reader(f.bytes.data, f.bytes.len);
		struct bytes name = {0}, options = {0};

		if (f.wire != PBUF_LEN)
			continue;
		if (f.number == MESSAGE_OPTIONS)
			found |= gather(f.bytes, &raw);
		while (f.number == MESSAGE_ONEOF && pbuf_next(&nested, &in)) {
			if (in.number == ONEOF_NAME)
				name = in.bytes;
			else if (in.number == ONEOF_OPTIONS)
				options = in.bytes;
		}
		if (options.len > 0)
			err = oneof_rules(l, m, name, options);
	}
	if (err == 0 && found)
		err = message_rules(l, m, buf_bytes(&raw));
	r = pbuf_reader(p->raw.data, p->raw.len);
	while (err == 0 && pbuf_next(&r, &f))
		if (f.number == MESSAGE_FIELD && f.wire == PBUF_LEN)
			err = field_rules(l, m, f.bytes);
	return err;
}

/* --- who reaches rules --- */

static bool says_something(const struct rules *r)
{
	return r != NULL && (r->required || r->n > 0) && r->ignore != RULE_IGNORE_ALWAYS;
}

static bool reaches_rules(const struct schema_message *m)
{
	if (m->rules != NULL && (m->rules->n_oneofs > 0 || m->rules->oneof_required != NULL))
		return true;
	for (size_t i = 0; i < m->n_fields; i++) {
		const struct schema_field *f = &m->fields[i];
		bool ignored = f->rules != NULL && f->rules->ignore == RULE_IGNORE_ALWAYS;

		if (says_something(f->rules) || (!ignored && f->message != NULL && f->message->has_rules))
			return true;
	}
	return false;
}

/* The first message in reach whose rules were refused: its reason. */
static const char *reaches_refused(const struct schema_message *m)
{
	for (size_t i = 0; i < m->n_fields; i++) {
		const struct schema_field *f = &m->fields[i];
		bool ignored = f->rules != NULL && f->rules->ignore == RULE_IGNORE_ALWAYS;

		if (!ignored && f->message != NULL && f->message->rules_refused != NULL)
			return f->message->rules_refused;
	}
	return NULL;
}

/* Messages may hold each other: until nothing changes any more. */
static void mark_rules(struct loader *l)
{
	bool changed = true;

	while (changed) {
		changed = false;
		for (size_t i = l->n_messages; i-- > 0;) {
			struct schema_message *m = l->messages[i].message;

			if (m->rules_refused == NULL) {
				m->rules_refused = reaches_refused(m);
				changed |= m->rules_refused != NULL;
			}
			if (m->has_rules || !reaches_rules(m))
				continue;
			m->has_rules = changed = true;
		}
	}
}

int loader_rules(struct loader *l)
{
	for (size_t i = 0; i < l->n_messages; i++) {
		int err = read_message(l, &l->messages[i]);

		if (err < 0 && !l->any_rules)
			return err;
		if (err < 0)
			l->messages[i].message->rules_refused = schema_strndup(l->s, l->why, strlen(l->why));
	}
	mark_rules(l);
	return 0;
}
