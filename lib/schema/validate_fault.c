/* validate_fault.c: where a violation is, in the client's terms: a pointer into the body
 * it sent, or the parameter of path or query it gave. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "schema/validator.h"

enum { DETAIL_MAX = 480, CHAIN_MAX = 128 };

/* The way down to a place. */
struct chain {
	const struct validate_place *at[CHAIN_MAX];
	size_t n;
};

static void chain_init(struct chain *c, const struct validate_place *at)
{
	size_t n = 0;

	for (const struct validate_place *p = at; p != NULL && n < CHAIN_MAX; p = p->up)
		n++;
	c->n = n;
	for (; n > 0; at = at->up)
		c->at[--n] = at;
}

static void put_key(struct buf *b, const struct validate_place *p)
{
	union rule_value key = {0};

	value_read(p->key_field, p->key, &key);
	switch (value_class(p->key_field)) {
	case VALUE_TEXT:
		buf_append(b, key.text.data, key.text.len);
		break;
	case VALUE_BOOL:
		buf_append_str(b, key.i ? "true" : "false");
		break;
	case VALUE_UNSIGNED:
		buf_printf(b, "%" PRIu64, key.u);
		break;
	default:
		buf_printf(b, "%" PRId64, key.i);
		break;
	}
}

/* RFC 6901: ~ is ~0 and / is ~1. */
static void put_token(struct buf *b, const void *text, size_t len)
{
	const char *p = text;

	buf_append_byte(b, '/');
	for (size_t i = 0; i < len; i++) {
		if (p[i] == '~')
			buf_append_str(b, "~0");
		else if (p[i] == '/')
			buf_append_str(b, "~1");
		else
			buf_append_byte(b, (uint8_t)p[i]);
	}
}

static void put_inside(struct buf *b, const struct validate_place *p)
{
	AUTO_BUF key = BUF_INIT;

	if (p->is_item)
		buf_printf(b, "/%zu", p->index);
	if (p->key_field == NULL)
		return;
	put_key(&key, p);
	put_token(b, key.data, key.len);
}

/* skip: so many of the first fields lead to what the body is. */
static void put_pointer(struct buf *b, const struct chain *c, size_t skip)
{
	buf_append_byte(b, '#');
	for (size_t i = 0; i < c->n && !c->at[i]->is_group; i++) {
		if (i >= skip)
			put_token(b, c->at[i]->field->out_name, strlen(c->at[i]->field->out_name));
		put_inside(b, c->at[i]);
	}
}

/* note.labels[key].title, as in a query; an element is named as its list. */
static void put_parameter(struct buf *b, const struct chain *c)
{
	for (size_t i = 0; i < c->n; i++) {
		if (i > 0)
			buf_append_byte(b, '.');
		buf_append_str(b, c->at[i]->field->out_name);
		if (c->at[i]->key_field == NULL)
			continue;
		buf_append_byte(b, '[');
		put_key(b, c->at[i]);
		buf_append_byte(b, ']');
	}
}

static bool in_path(const struct route *r, const struct chain *c)
{
	for (size_t i = 0; r->template != NULL && i < r->template->n_variables; i++) {
		const struct template_variable *var = &r->template->variables[i];
		size_t k = 0;

		while (k < var->depth && k < c->n && c->at[k]->field == var->path[k])
			k++;
		if (k == var->depth)
			return true;
	}
	return false;
}

static bool in_body(const struct route *r, const struct chain *c)
{
	const struct field_path *body = &r->body_path;

	if (r->http == NULL || r->body_all)
		return true;
	for (size_t i = 0; i < body->depth; i++)
		if (i == c->n || c->at[i]->field != body->steps[i])
			return false;
	return body->depth > 0;
}

static enum fault_place put_where(struct buf *b, const struct route *r, const struct validate_place *at)
{
	struct chain c;

	chain_init(&c, at);
	if (r != NULL && c.n > 0 && (in_path(r, &c) || !in_body(r, &c))) {
		put_parameter(b, &c);
		return FAULT_PARAMETER;
	}
	put_pointer(b, &c, r != NULL && !r->body_all ? r->body_path.depth : 0);
	return FAULT_POINTER;
}

void validator_fault(struct validator *v, const struct validate_place *at, const char *rule,
		     const char *value, size_t value_len, const char *fmt, ...)
{
	AUTO_BUF where = BUF_INIT;
	char detail[DETAIL_MAX];
	enum fault_place place;
	va_list ap;

	if (v->faults->n == FAULT_MAX) {
		v->faults->n_dropped++;
		return;
	}
	va_start(ap, fmt);
	vsnprintf(detail, sizeof detail, fmt, ap);
	va_end(ap);
	place = put_where(&where, v->origin, at);
	fault_add(v->faults, FAULT_SCHEMA, place, buf_cstr(&where), rule, value, value_len, "%s", detail);
}
