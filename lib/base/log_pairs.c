/* log_pairs.c: see log_pairs.h. A small printf: the arguments are taken one by one, so
 * that each value is known for itself. */
#define _GNU_SOURCE
#include "base/log_pairs.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>

/* One conversion of the format. */
struct conversion {
	int precision;   /* -1: none */
	int longs;       /* 1: long, size_t and the like; 2: long long, intmax_t */
	char type;
};

static const char *read_conversion(const char *at, struct log_pairs *p, struct conversion *c)
{
	*c = (struct conversion){.precision = -1};
	if (*at == '.' && at[1] == '*') {
		c->precision = va_arg(p->args, int);
		at += 2;
	} else if (*at == '.') {
		for (c->precision = 0, at++; *at >= '0' && *at <= '9'; at++)
			c->precision = c->precision * 10 + (*at - '0');
	}
	for (; *at == 'l' || *at == 'z' || *at == 't' || *at == 'j'; at++)
		c->longs += *at == 'j' ? 2 : 1;
	c->type = *at;
	return *at != '\0' ? at + 1 : at;
}

static void put_text(struct buf *out, const char *s, int precision)
{
	if (s == NULL)
		s = "(null)";
	buf_append(out, s, precision >= 0 ? strnlen(s, (size_t)precision) : strlen(s));
}

static void put_signed(struct log_pairs *p, const struct conversion *c)
{
	long long v = c->longs == 0 ? va_arg(p->args, int) :
		      c->longs == 1 ? va_arg(p->args, long) : va_arg(p->args, long long);

	buf_printf(&p->value, "%lld", v);
}

static void put_unsigned(struct log_pairs *p, const struct conversion *c)
{
	unsigned long long v = c->longs == 0 ? va_arg(p->args, unsigned) :
		c->longs == 1 ? va_arg(p->args, unsigned long) : va_arg(p->args, unsigned long long);

	if (c->type == 'x')
		buf_printf(&p->value, "%llx", v);
	else
		buf_printf(&p->value, "%llu", v);
}

/* at is behind the '%'; returns what is behind the conversion. */
static const char *convert(struct log_pairs *p, const char *at)
{
	struct conversion c;

	at = read_conversion(at, p, &c);
	switch (c.type) {
	case 'd': case 'i': put_signed(p, &c); break;
	case 'u': case 'x': put_unsigned(p, &c); break;
	case 's': put_text(&p->value, va_arg(p->args, const char *), c.precision); break;
	case 'c': buf_append_byte(&p->value, (uint8_t)va_arg(p->args, int)); break;
	case 'p': buf_printf(&p->value, "%p", va_arg(p->args, void *)); break;
	case 'f': buf_printf(&p->value, "%.*f", c.precision < 0 ? 6 : c.precision, va_arg(p->args, double)); break;
	case 'g': buf_printf(&p->value, "%.*g", c.precision < 0 ? 6 : c.precision, va_arg(p->args, double)); break;
	case '%': buf_append_byte(&p->value, '%'); break;
	default: at += strlen(at); /* what is behind it cannot be read */
	}
	return at;
}

bool log_pairs_next(struct log_pairs *p)
{
	const char *at = p->at + strspn(p->at, " ");

	buf_reset(&p->value);
	if (*at == '\0')
		return false;
	p->key = at;
	p->key_len = strcspn(at, "= ");
	at += p->key_len + (at[p->key_len] == '=');
	p->quoted = *at == '"';
	at += p->quoted;
	while (*at != '\0' && *at != (p->quoted ? '"' : ' ')) {
		if (*at == '%')
			at = convert(p, at + 1);
		else
			buf_append_byte(&p->value, (uint8_t)*at++);
	}
	p->at = at + (*at == '"');
	return true;
}
