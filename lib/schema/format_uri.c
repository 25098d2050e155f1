/* format_uri.c: RFC 3986's URI and URI reference, with the zones of RFC 6874. */
#include <string.h>

#include "base/json.h"
#include "schema/format.h"

static struct bytes tail(struct bytes s, size_t from)
{
	return (struct bytes){s.data + from, s.len - from};
}

static bool starts(struct bytes s, const char *text)
{
	return s.len >= strlen(text) && memcmp(s.data, text, strlen(text)) == 0;
}

static bool is_unreserved(int c)
{
	return format_is_alpha(c) || format_is_digit(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

/* Only unreserved characters, %xx and those of more. */
static bool is_made_of(struct bytes s, const char *more)
{
	for (size_t i = 0; i < s.len; i++) {
		int c = s.data[i];

		if (c == '%') {
			if (s.len - i < 3 || !format_is_hex(s.data[i + 1]) || !format_is_hex(s.data[i + 2]))
				return false;
			i += 2;
		} else if (!is_unreserved(c) && (c == 0 || strchr(more, c) == NULL)) {
			return false;
		}
	}
	return true;
}

#define SUB_DELIMS "!$&'()*+,;="
#define PCHAR SUB_DELIMS ":@"

static int hex_value(int c)
{
	return format_is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* What is percent-encoded in a host is UTF-8. */
static bool decodes_to_utf8(struct bytes s)
{
	AUTO_BUF text = BUF_INIT;

	if (s.len == 0 || memchr(s.data, '%', s.len) == NULL)
		return true;
	for (size_t i = 0; i < s.len; i++) {
		if (s.data[i] == '%') {
			buf_append_byte(&text, (uint8_t)(hex_value(s.data[i + 1]) << 4 | hex_value(s.data[i + 2])));
			i += 2;
		} else {
			buf_append_byte(&text, s.data[i]);
		}
	}
	return json_utf8_valid(text.data, text.len) == text.len;
}

/* v1.fe80::a+en1 */
static bool is_ip_future(struct bytes s)
{
	size_t i = 1;

	if (s.len == 0 || (s.data[0] | 0x20) != 'v')
		return false;
	while (i < s.len && format_is_hex(s.data[i]))
		i++;
	if (i == 1 || i + 1 >= s.len || s.data[i] != '.')
		return false;
	s = tail(s, i + 1);
	return memchr(s.data, '%', s.len) == NULL && is_made_of(s, SUB_DELIMS ":");
}

/* What is between [ and ] */
static bool is_ip_literal(struct bytes s)
{
	const uint8_t *percent = s.len > 0 ? memchr(s.data, '%', s.len) : NULL;
	struct bytes address = s, zone;
	uint8_t raw[16];

	if (percent != NULL) {
		address.len = (size_t)(percent - s.data);
		zone = tail(s, address.len);
		if (!starts(zone, "%25") || zone.len == 3)
			return false;
		zone = tail(zone, 3);
		if (!is_made_of(zone, "") || !decodes_to_utf8(zone))
			return false;
	}
	return format_is_ipv6(address, false, raw) || (percent == NULL && is_ip_future(s));
}

static bool is_port(struct bytes s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!format_is_digit(s.data[i]))
			return false;
	return true;
}

/* host [":" port] */
static bool is_host(struct bytes s)
{
	const uint8_t *end;
	struct bytes host = s;

	if (s.len > 0 && s.data[0] == '[') {
		end = memchr(s.data, ']', s.len);
		if (end == NULL || !is_ip_literal((struct bytes){s.data + 1, (size_t)(end - s.data) - 1}))
			return false;
		s = tail(s, (size_t)(end - s.data) + 1);
		return s.len == 0 || (s.data[0] == ':' && is_port(tail(s, 1)));
	}
	end = s.len > 0 ? memchr(s.data, ':', s.len) : NULL;
	if (end != NULL) {
		host.len = (size_t)(end - s.data);
		if (!is_port(tail(s, host.len + 1)))
			return false;
	}
	return is_made_of(host, SUB_DELIMS) && decodes_to_utf8(host);
}

static bool is_authority(struct bytes s)
{
	const uint8_t *at = s.len > 0 ? memchr(s.data, '@', s.len) : NULL;

	if (at == NULL)
		return is_host(s);
	return is_made_of((struct bytes){s.data, (size_t)(at - s.data)}, SUB_DELIMS ":") &&
	       is_host(tail(s, (size_t)(at - s.data) + 1));
}

/* Cuts what c begins off the end of s; false when it is not in order. */
static bool cut(struct bytes *s, int c)
{
	const uint8_t *p = s->len > 0 ? memchr(s->data, c, s->len) : NULL;
	struct bytes rest;

	if (p == NULL)
		return true;
	rest = tail(*s, (size_t)(p - s->data) + 1);
	s->len = (size_t)(p - s->data);
	return is_made_of(rest, PCHAR "/?");
}

/* Behind the scheme, without query and fragment. */
static bool is_hierarchy(struct bytes s)
{
	if (starts(s, "//")) {
		struct bytes authority = tail(s, 2);
		const uint8_t *slash = authority.len > 0 ? memchr(authority.data, '/', authority.len) : NULL;

		if (slash != NULL)
			authority.len = (size_t)(slash - authority.data);
		if (!is_authority(authority))
			return false;
		s = tail(s, 2 + authority.len);
	}
	return is_made_of(s, PCHAR "/");
}

/* The length of scheme and colon, or 0. */
static size_t scheme_len(struct bytes s)
{
	size_t n = 0;

	while (n < s.len && (format_is_alpha(s.data[n]) ||
			     (n > 0 && (format_is_digit(s.data[n]) || s.data[n] == '+' || s.data[n] == '-' ||
					s.data[n] == '.'))))
		n++;
	return n > 0 && n < s.len && s.data[n] == ':' ? n + 1 : 0;
}

bool format_is_uri(struct bytes s)
{
	size_t scheme;

	if (!cut(&s, '#') || !cut(&s, '?'))
		return false;
	scheme = scheme_len(s);
	return scheme > 0 && is_hierarchy(tail(s, scheme));
}

bool format_is_uri_ref(struct bytes s)
{
	const uint8_t *colon, *slash;
	struct bytes path = s;

	if (format_is_uri(s))
		return true;
	if (!cut(&path, '#') || !cut(&path, '?'))
		return false;
	colon = path.len > 0 ? memchr(path.data, ':', path.len) : NULL;
	slash = path.len > 0 ? memchr(path.data, '/', path.len) : NULL;
	if (colon != NULL && (slash == NULL || colon < slash))
		return false; /* it would be a scheme */
	return is_hierarchy(path);
}
