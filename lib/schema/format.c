/* format.c: see format.h. */
#include "schema/format.h"

#include <string.h>

static bool is_alnum(int c)
{
	return format_is_digit(c) || format_is_alpha(c);
}

static struct bytes part(struct bytes s, size_t from, size_t to)
{
	return (struct bytes){s.data + from, to - from};
}

static size_t find(struct bytes s, int c)
{
	const uint8_t *p = s.len > 0 ? memchr(s.data, c, s.len) : NULL;

	return p != NULL ? (size_t)(p - s.data) : s.len;
}

static size_t find_last(struct bytes s, int c)
{
	for (size_t i = s.len; i-- > 0;)
		if (s.data[i] == c)
			return i;
	return s.len;
}

/* --- names of hosts --- */

/* 1 to 63 letters, digits and hyphens, these not at either end. */
static bool is_label(struct bytes s)
{
	if (s.len == 0 || s.len > 63 || s.data[0] == '-' || s.data[s.len - 1] == '-')
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (!is_alnum(s.data[i]) && s.data[i] != '-')
			return false;
	return true;
}

/* Labels with dots between them; digitsp: the last one is a number. */
static bool is_domain(struct bytes s, bool *digitsp)
{
	size_t from = 0;

	for (;;) {
		size_t to = from + find(part(s, from, s.len), '.');

		if (!is_label(part(s, from, to)))
			return false;
		*digitsp = true;
		for (size_t i = from; i < to; i++)
			*digitsp &= format_is_digit(s.data[i]);
		if (to == s.len)
			return true;
		from = to + 1;
	}
}

static bool is_hostname(struct bytes s)
{
	bool digits;

	if (s.len > 0 && s.data[s.len - 1] == '.')
		s.len--;
	return s.len <= 253 && is_domain(s, &digits) && !digits;
}

/* HTML's, which deviates from RFC 5322 on purpose. */
static bool is_email(struct bytes s)
{
	size_t at = find(s, '@');
	bool digits;

	if (at == 0 || at == s.len)
		return false;
	for (size_t i = 0; i < at; i++)
		if (!is_alnum(s.data[i]) && (s.data[i] == 0 || strchr(".!#$%&'*+/=?^_`{|}~-", s.data[i]) == NULL))
			return false;
	return is_domain(part(s, at + 1, s.len), &digits);
}

/* --- IP addresses --- */

/* A decimal number without needless zeros, at most max; the digits it took, or 0. */
static size_t take_number(struct bytes s, unsigned max, unsigned *out)
{
	size_t n = 0;

	for (*out = 0; n < s.len && n < 6 && format_is_digit(s.data[n]); n++)
		*out = *out * 10 + (unsigned)(s.data[n] - '0');
	return *out > max || (n > 1 && s.data[0] == '0') ? 0 : n;
}

static bool is_number(struct bytes s, unsigned max, unsigned *out)
{
	return s.len > 0 && take_number(s, max, out) == s.len;
}

static bool is_ipv4(struct bytes s, uint8_t out[4])
{
	for (int i = 0; i < 4; i++) {
		unsigned octet;
		size_t n = take_number(s, 255, &octet);

		if (n == 0 || (i < 3 ? n == s.len || s.data[n] != '.' : n != s.len))
			return false;
		out[i] = (uint8_t)octet;
		s = part(s, MIN(n + 1, s.len), s.len);
	}
	return true;
}

static size_t take_hex(struct bytes s, unsigned *out)
{
	size_t n = 0;

	for (*out = 0; n < s.len && n < 5 && format_is_hex(s.data[n]); n++)
		*out = *out << 4 | (unsigned)(format_is_digit(s.data[n]) ? s.data[n] - '0' : (s.data[n] | 0x20) - 'a' + 10);
	return n > 4 ? 0 : n;
}

/* Groups with colons between, one run of zeros left out, the last two perhaps as IPv4. */
static bool take_groups(struct bytes s, uint8_t out[16], int *np, int *gapp)
{
	while (s.len > 0) {
		unsigned group;
		size_t n;

		if (s.len >= 2 && s.data[0] == ':' && s.data[1] == ':') {
			if (*gapp >= 0)
				return false;
			*gapp = *np;
			s = part(s, 2, s.len);
			continue;
		}
		if (*np <= 6 && is_ipv4(s, out + 2 * *np)) {
			*np += 2;
			return true;
		}
		n = take_hex(s, &group);
		if (n == 0 || *np == 8)
			return false;
		out[2 * *np] = (uint8_t)(group >> 8);
		out[2 * (*np)++ + 1] = (uint8_t)group;
		s = part(s, n, s.len);
		if (s.len == 0 || (s.len >= 2 && s.data[0] == ':' && s.data[1] == ':'))
			continue;
		if (s.data[0] != ':' || s.len == 1)
			return false;
		s = part(s, 1, s.len);
	}
	return true;
}

bool format_is_ipv6(struct bytes s, bool zone, uint8_t out[16])
{
	size_t percent = find(s, '%');
	int n = 0, gap = -1;

	if (percent < s.len && (!zone || percent + 1 == s.len || memchr(s.data, 0, s.len) != NULL))
		return false;
	s.len = percent;
	memset(out, 0, 16);
	if (!take_groups(s, out, &n, &gap) || (gap < 0 ? n != 8 : n > 7))
		return false;
	if (gap >= 0) {
		memmove(out + 16 - 2 * (n - gap), out + 2 * gap, (size_t)(2 * (n - gap)));
		memset(out + 2 * gap, 0, (size_t)(16 - 2 * n));
	}
	return true;
}

static bool is_ip(struct bytes s, bool v4, bool v6)
{
	uint8_t address[16];

	return (v4 && is_ipv4(s, address)) || (v6 && format_is_ipv6(s, true, address));
}

/* The bits behind the first n are zero. */
static bool is_masked(const uint8_t *address, size_t size, unsigned n)
{
	for (size_t i = n; i < size * 8; i++)
		if (address[i / 8] >> (7 - i % 8) & 1)
			return false;
	return true;
}

static bool is_prefix(struct bytes s, bool v4, bool v6, bool masked)
{
	size_t slash = find(s, '/');
	struct bytes host = part(s, 0, slash), bits;
	uint8_t address[16];
	unsigned n;

	if (slash == s.len)
		return false;
	bits = part(s, slash + 1, s.len);
	if (v4 && is_ipv4(host, address))
		return is_number(bits, 32, &n) && (!masked || is_masked(address, 4, n));
	if (v6 && format_is_ipv6(host, false, address))
		return is_number(bits, 128, &n) && (!masked || is_masked(address, 16, n));
	return false;
}

static bool is_host_and_port(struct bytes s)
{
	size_t colon = find_last(s, ':');
	uint8_t address[16];
	struct bytes host;
	unsigned port;

	if (colon == s.len || !is_number(part(s, colon + 1, s.len), 65535, &port))
		return false;
	host = part(s, 0, colon);
	if (host.len > 0 && host.data[0] == '[')
		return host.data[host.len - 1] == ']' && format_is_ipv6(part(host, 1, host.len - 1), true, address);
	return is_hostname(host) || is_ipv4(host, address);
}

/* --- identifiers --- */

/* A pattern of x (a hexadecimal digit) and - */
static bool is_shape(struct bytes s, const char *shape)
{
	if (s.len != strlen(shape))
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (shape[i] == 'x' ? !format_is_hex(s.data[i]) : s.data[i] != '-')
			return false;
	return true;
}

static bool is_ulid(struct bytes s)
{
	if (s.len != 26 || s.data[0] < '0' || s.data[0] > '7')
		return false;
	for (size_t i = 1; i < s.len; i++)
		if (!is_alnum(s.data[i]) || strchr("ilou", s.data[i] | 0x20) != NULL)
			return false;
	return true;
}

/* Identifiers with dots between them. */
static bool is_fqn(struct bytes s)
{
	bool first = true;

	for (size_t i = 0; i < s.len; i++) {
		int c = s.data[i];

		if (c == '.' ? first : first ? !format_is_alpha(c) && c != '_' : !is_alnum(c) && c != '_')
			return false;
		first = c == '.';
	}
	return !first;
}

/* --- HTTP headers --- */

static bool is_header_name(struct bytes s, bool strict)
{
	if (strict && s.len > 0 && s.data[0] == ':')
		s = part(s, 1, s.len);
	for (size_t i = 0; i < s.len; i++) {
		int c = s.data[i];

		if (strict ? !is_alnum(c) && (c == 0 || strchr("!#$%&'*+,-.^_|~`", c) == NULL) :
		    c == 0 || c == '\n' || c == '\r')
			return false;
	}
	return s.len > 0;
}

static bool is_header_value(struct bytes s, bool strict)
{
	for (size_t i = 0; i < s.len; i++) {
		int c = s.data[i];

		if (strict ? (c < 0x20 && c != '\t') || c == 0x7f : c == 0 || c == '\n' || c == '\r')
			return false;
	}
	return true;
}

/* --- by name --- */

bool format_text(enum rule_format format, bool strict, struct bytes s)
{
	switch (format) {
	case RULE_EMAIL: return is_email(s);
	case RULE_HOSTNAME: return is_hostname(s);
	case RULE_IP: return is_ip(s, true, true);
	case RULE_IPV4: return is_ip(s, true, false);
	case RULE_IPV6: return is_ip(s, false, true);
	case RULE_URI: return format_is_uri(s);
	case RULE_URI_REF: return format_is_uri_ref(s);
	case RULE_ADDRESS: return is_hostname(s) || is_ip(s, true, true);
	case RULE_UUID: return is_shape(s, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx");
	case RULE_TUUID: return is_shape(s, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
	case RULE_IP_PREFIXLEN: return is_prefix(s, true, true, false);
	case RULE_IPV4_PREFIXLEN: return is_prefix(s, true, false, false);
	case RULE_IPV6_PREFIXLEN: return is_prefix(s, false, true, false);
	case RULE_IP_PREFIX: return is_prefix(s, true, true, true);
	case RULE_IPV4_PREFIX: return is_prefix(s, true, false, true);
	case RULE_IPV6_PREFIX: return is_prefix(s, false, true, true);
	case RULE_HOST_AND_PORT: return is_host_and_port(s);
	case RULE_ULID: return is_ulid(s);
	case RULE_HEADER_NAME: return is_header_name(s, strict);
	case RULE_HEADER_VALUE: return is_header_value(s, strict);
	case RULE_PROTOBUF_FQN: return is_fqn(s);
	case RULE_PROTOBUF_DOT_FQN: return s.len > 1 && s.data[0] == '.' && is_fqn(part(s, 1, s.len));
	}
	return true;
}

bool format_bytes(enum rule_format format, struct bytes b)
{
	switch (format) {
	case RULE_IPV4:
		return b.len == 4;
	case RULE_IP:
		return b.len == 4 || b.len == 16;
	default: /* IPV6, UUID */
		return b.len == 16;
	}
}

const char *format_name(enum rule_format format)
{
	static const char *const names[] = {
		[RULE_EMAIL] = "an email address", [RULE_HOSTNAME] = "a host name",
		[RULE_IP] = "an IP address", [RULE_IPV4] = "an IPv4 address", [RULE_IPV6] = "an IPv6 address",
		[RULE_URI] = "a URI", [RULE_URI_REF] = "a URI reference",
		[RULE_ADDRESS] = "a host name or an IP address",
		[RULE_UUID] = "a UUID", [RULE_TUUID] = "a UUID without dashes",
		[RULE_IP_PREFIXLEN] = "an IP address with a prefix length",
		[RULE_IPV4_PREFIXLEN] = "an IPv4 address with a prefix length",
		[RULE_IPV6_PREFIXLEN] = "an IPv6 address with a prefix length",
		[RULE_IP_PREFIX] = "an IP prefix (zero behind its length)",
		[RULE_IPV4_PREFIX] = "an IPv4 prefix (zero behind its length)",
		[RULE_IPV6_PREFIX] = "an IPv6 prefix (zero behind its length)",
		[RULE_HOST_AND_PORT] = "a host and a port", [RULE_ULID] = "a ULID",
		[RULE_HEADER_NAME] = "the name of an HTTP header",
		[RULE_HEADER_VALUE] = "the value of an HTTP header",
		[RULE_PROTOBUF_FQN] = "the full name of a protobuf type",
		[RULE_PROTOBUF_DOT_FQN] = "the full name of a protobuf type with a leading dot",
	};

	return names[format];
}
