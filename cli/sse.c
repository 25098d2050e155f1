#include "cli/sse.h"

static bool name_is(const struct buf *line, size_t len, const char *name)
{
	return len == strlen(name) && memcmp(line->data, name, len) == 0;
}

/* "name: value"; ids are the messages' own, comments keep the line alive. */
static void read_field(struct sse *s)
{
	const uint8_t *colon = memchr(s->line.data, ':', s->line.len);
	size_t name = colon != NULL ? (size_t)(colon - s->line.data) : s->line.len, from = name + (colon != NULL);

	if (from < s->line.len && s->line.data[from] == ' ')
		from++;
	if (name_is(&s->line, name, "event")) {
		buf_reset(&s->event);
		buf_append(&s->event, s->line.data + from, s->line.len - from);
	} else if (name_is(&s->line, name, "data")) {
		buf_append(&s->data, s->line.data + from, s->line.len - from);
		buf_append_byte(&s->data, '\n');
	}
}

static int end_event(struct sse *s)
{
	int r = 0;

	if (s->data.len > 0)
		r = s->on_event(s->event.len > 0 ? buf_cstr(&s->event) : "message",
				(struct bytes){s->data.data, s->data.len - 1}, s->arg);
	buf_reset(&s->event);
	buf_reset(&s->data);
	return r;
}

static int end_line(struct sse *s)
{
	int r = 0;

	if (s->line.len == 0)
		r = end_event(s);
	else
		read_field(s);
	buf_reset(&s->line);
	return r;
}

int sse_feed(struct sse *s, const void *bytes, size_t len)
{
	const uint8_t *p = bytes, *end = p + len;
	int r = 0;

	while (p < end && r == 0) {
		const uint8_t *stop = p;

		if (s->cr && *p == '\n')
			stop = ++p;
		s->cr = false;
		while (stop < end && *stop != '\n' && *stop != '\r')
			stop++;
		buf_append(&s->line, p, (size_t)(stop - p));
		p = stop;
		if (stop == end)
			break;
		s->cr = *stop == '\r';
		p++;
		r = end_line(s);
	}
	return r;
}

void sse_deinit(struct sse *s)
{
	buf_deinit(&s->line);
	buf_deinit(&s->event);
	buf_deinit(&s->data);
}
