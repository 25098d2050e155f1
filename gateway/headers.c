/* See headers.h. Header values are C strings here: the guard has refused NUL and
 * other control characters. */
#define _GNU_SOURCE
#include "gateway/headers.h"

#include <ctype.h>
#include <strings.h>

const char *headers_get(const struct request_source *src, const char *name)
{
	return src->header(src->from, name, 0);
}

const char *headers_skip_space(const char *p)
{
	return p + strspn(p, " \t");
}

/* Is the text up to `len` this word (any case)? */
bool headers_word_is(const char *p, size_t len, const char *word)
{
	return strlen(word) == len && strncasecmp(p, word, len) == 0;
}

/* The end of a list element: the next comma outside quotes. */
static const char *element_end(const char *p)
{
	bool quoted = false;

	for (; *p != '\0' && (quoted || *p != ','); p++) {
		if (*p == '"')
			quoted = !quoted;
		else if (quoted && *p == '\\' && p[1] != '\0')
			p++;
	}
	return p;
}

bool headers_next(struct headers_list *l)
{
	if (l->end != NULL && *l->end == ',')
		l->end++;
	while (l->end == NULL || *l->end == '\0') {
		l->end = l->src->header(l->src->from, l->name, l->line++);
		if (l->end == NULL)
			return false;
	}
	l->at = headers_skip_space(l->end);
	l->end = element_end(l->at);
	return true;
}

size_t headers_trimmed(const char *p, const char *end)
{
	while (end > p && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	return (size_t)(end - p);
}

void headers_fault(struct fault_list *faults, const char *name, const char *value, const char *detail)
{
	fault_add(faults, FAULT_SYNTAX, FAULT_HEADER, name, "syntax", value, strlen(value), "%s", detail);
}

/* q of an element's parameters, in thousandths. */
int headers_quality(const char *p, const char *end)
{
	for (; p < end; p++) {
		const char *v;
		int q = 0, scale = 1000;

		if (*p != ';')
			continue;
		v = headers_skip_space(p + 1);
		if (v + 2 > end || (v[0] | 0x20) != 'q' || v[1] != '=')
			continue;
		for (v += 2; v < end && (isdigit((unsigned char)*v) || *v == '.'); v++) {
			if (*v == '.')
				continue;
			q += (*v - '0') * scale;
			scale /= 10;
		}
		return MIN(q, 1000);
	}
	return 1000;
}
