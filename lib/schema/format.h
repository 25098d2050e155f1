/* format.h: the forms of text that buf.validate knows by name (string.email ...), by the
 * grammars protovalidate gives for them. Pure; private to lib/schema. */
#ifndef SCHEMA_FORMAT_H
#define SCHEMA_FORMAT_H

#include "schema/rules.h"

/* strict: of header names and values only. */
bool format_text(enum rule_format format, bool strict, struct bytes text);
/* Of a bytes field: by its length. */
bool format_bytes(enum rule_format format, struct bytes b);
/* "an email address" */
const char *format_name(enum rule_format format);

/* --- between format.c and format_uri.c --- */

/* zone: "%eth0" may follow. */
bool format_is_ipv6(struct bytes text, bool zone, uint8_t out[16]);
bool format_is_uri(struct bytes text);
bool format_is_uri_ref(struct bytes text);

static inline bool format_is_digit(int c)
{
	return c >= '0' && c <= '9';
}

static inline bool format_is_alpha(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline bool format_is_hex(int c)
{
	return format_is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

#endif
