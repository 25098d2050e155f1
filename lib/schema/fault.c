/* fault.c: the list of what was wrong with one request. Any thread; the list
 * belongs to one. */
#include "schema/fault.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/json.h"

enum { VALUE_MAX = 64, NAME_MAX_SHOWN = 200, DETAIL_MAX = 512 };

void fault_list_deinit(struct fault_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		struct fault *f = &l->items[i];

		free(f->where);
		free(f->rule);
		free(f->detail);
		free(f->value);
	}
	free(l->items);
	*l = FAULT_LIST_INIT;
}

/* Cut at max, but not within a character. */
static char *copy_cut(const char *text, size_t len, size_t max)
{
	if (text == NULL)
		return NULL;
	if (len > max)
		len = json_utf8_valid((const uint8_t *)text, max);
	return xstrndup(text, len);
}

void fault_add(struct fault_list *l, enum fault_kind kind, enum fault_place place,
	       const char *where, const char *rule, const char *value, size_t value_len,
	       const char *detail_fmt, ...)
{
	char detail[DETAIL_MAX];
	va_list ap;

	if (l->n == FAULT_MAX) {
		l->n_dropped++;
		/* the worst kind decides the status, so it must not be lost */
		if (kind == FAULT_SYNTAX)
			l->items[FAULT_MAX - 1].kind = FAULT_SYNTAX;
		return;
	}
	if (l->items == NULL || (l->n & (l->n - 1)) == 0)
		l->items = xrealloc(l->items, (l->n ? l->n * 2 : 1) * sizeof *l->items);
	va_start(ap, detail_fmt);
	vsnprintf(detail, sizeof detail, detail_fmt, ap);
	va_end(ap);
	l->items[l->n++] = (struct fault){
		.kind = kind,
		.place = place,
		/* a pointer that is cut would name something else; a parameter is its client's own */
		.where = copy_cut(where, strlen(where), place == FAULT_POINTER ? SIZE_MAX : NAME_MAX_SHOWN),
		.rule = xstrdup(rule),
		.detail = xstrdup(detail),
		.value = copy_cut(value, value_len, VALUE_MAX),
	};
}

int fault_http_status(const struct fault_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->items[i].kind == FAULT_SYNTAX)
			return 400;
	return 422;
}

void fault_put_token(struct buf *b, const void *text, size_t len)
{
	const uint8_t *s = text;

	for (size_t i = 0; i < len; i++) {
		if (s[i] == '~')
			buf_append_str(b, "~0");
		else if (s[i] == '/')
			buf_append_str(b, "~1");
		else if (s[i] > ' ' && s[i] < 0x7f && strchr("\"#%<>[\\]^`{|}", s[i]) == NULL)
			buf_append_byte(b, s[i]);
		else
			buf_printf(b, "%%%02X", s[i]);
	}
}
