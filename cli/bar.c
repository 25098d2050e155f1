#include "cli/bar.h"

#include <inttypes.h>

#include "base/clock.h"

int64_t bar_eta(struct bar *b, double fraction, int64_t now_ns)
{
	double gained;

	if (b->since_ns == 0 || fraction < b->since) {
		b->since_ns = now_ns;
		b->since = fraction;
	}
	gained = fraction - b->since;
	if (gained < 0.005 || now_ns - b->since_ns < NS_PER_S / 2)
		return -1;
	gained = (1 - fraction) / gained * (double)(now_ns - b->since_ns) / (double)NS_PER_S;
	return gained < 1e6 ? (int64_t)(gained + 0.5) : -1;
}

void bar_restart(struct bar *b)
{
	*b = (struct bar){0};
}

size_t bar_columns(const char *text, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += ((uint8_t)text[i] & 0xc0) != 0x80;
	return n;
}

/* At most `columns` characters of text, control bytes as spaces. */
static void put_cut(struct buf *out, const char *text, size_t columns)
{
	for (size_t n = 0; *text != '\0'; text++) {
		n += ((uint8_t)*text & 0xc0) != 0x80;
		if (n > columns)
			return;
		buf_append_byte(out, (uint8_t)*text < 0x20 || *text == 0x7f ? ' ' : (uint8_t)*text);
	}
}

static void put_blocks(struct buf *out, double fraction, int cells, bool utf8)
{
	/* U+2588 is a full block, U+2589 .. U+258F are 7/8 .. 1/8 */
	int eighths = (int)(fraction * cells * 8 + 0.5);

	for (int i = 0; i < cells; i++) {
		int part = MIN(MAX(eighths - i * 8, 0), 8);

		if (!utf8)
			buf_append_byte(out, part >= 4 ? '#' : '.');
		else if (part > 0)
			buf_append(out, (uint8_t[]){0xe2, 0x96, (uint8_t)(0x90 - part)}, 3);
		else
			buf_append_str(out, "\xe2\x96\x91"); /* light shade */
	}
}

void bar_draw(struct buf *out, const char *label, double fraction, int64_t eta_s,
	      const char *message, int width, bool utf8)
{
	int cells = MIN(MAX(width / 3, 5), 40);
	size_t begin = out->len, used;

	put_cut(out, label, 24);
	buf_append_byte(out, ' ');
	put_blocks(out, fraction, cells, utf8);
	/* not 100% before it is */
	buf_printf(out, " %3d%%", fraction >= 1 ? 100 : (int)(fraction * 100));
	if (eta_s >= 0 && fraction < 1)
		buf_printf(out, "  ETA %" PRId64 ":%02" PRId64, eta_s / 60, eta_s % 60);
	used = bar_columns((const char *)out->data + begin, out->len - begin);
	if (message != NULL && *message != '\0' && used + 4 < (size_t)width) {
		buf_append_str(out, "  ");
		put_cut(out, message, (size_t)width - used - 3);
	}
}
