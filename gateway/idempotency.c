/* See idempotency.h. */
#include "gateway/idempotency.h"

#include <string.h>

#define HEADER "Idempotency-Key"

static bool is_printable(char c)
{
	return c >= ' ' && c <= '~';
}

/* A string of RFC 8941, 3.3.3, from its quote on; NULL, or what is wrong. */
static const char *read_quoted(const char *p, struct buf *out)
{
	for (p++; *p != '"'; p++) {
		if (*p == '\\' && *++p != '"' && *p != '\\')
			return "behind a backslash there is only a quote or a backslash";
		if (*p == '\0')
			return "the closing quote is missing";
		if (!is_printable(*p))
			return "a key has printable ASCII characters only";
		buf_append_byte(out, (uint8_t)*p);
	}
	return p[1 + strspn(p + 1, " \t")] == '\0' ? NULL : "nothing may follow the closing quote";
}

/* Without quotes: one word, so that two lists of keys are not taken for one. */
static const char *read_word(const char *p, struct buf *out)
{
	size_t len = headers_trimmed(p, p + strlen(p));

	for (size_t i = 0; i < len; i++)
		if (!is_printable(p[i]) || strchr(" \",;\\", p[i]) != NULL)
			return "a key with other characters than letters, digits and signs goes in quotes: \"a key\"";
	buf_append(out, p, len);
	return NULL;
}

void idempotency_read(const struct request_source *src, struct buf *out, struct fault_list *faults)
{
	const char *value = headers_get(src, HEADER), *wrong;

	buf_reset(out);
	if (value == NULL)
		return;
	value = headers_skip_space(value);
	wrong = *value == '"' ? read_quoted(value, out) : read_word(value, out);
	if (wrong == NULL && out->len == 0)
		wrong = "the key is empty";
	else if (wrong == NULL && out->len > IDEMPOTENCY_KEY_MAX)
		wrong = "a key has at most 255 characters";
	else if (wrong == NULL && src->header(src->from, HEADER, 1) != NULL)
		wrong = "there are two keys: a request has one";
	if (wrong != NULL)
		headers_fault(faults, HEADER, value, wrong);
}
