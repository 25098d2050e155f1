/* task_row.c: what every kind of store needs of the rows: freeing what they own,
 * whose turn is first, ids by their end. Any thread. */
#include "service/store.h"

#include <stdlib.h>
#include <string.h>

void task_row_deinit(struct task_row *t)
{
	free(t->method);
	free(t->queue);
	free(t->progress_message);
	free(t->schedule);
	buf_deinit(&t->input);
	buf_deinit(&t->result);
	buf_deinit(&t->error);
	buf_deinit(&t->metadata);
	buf_deinit(&t->options);
	buf_deinit(&t->checkpoint);
	buf_deinit(&t->detail);
	*t = (struct task_row){0};
}

void attempt_row_deinit(struct attempt_row *a)
{
	buf_deinit(&a->error);
	buf_deinit(&a->usage);
	free(a->owner);
	*a = (struct attempt_row){0};
}

void event_row_deinit(struct event_row *e)
{
	buf_deinit(&e->data);
	*e = (struct event_row){0};
}

void record_deinit(struct record *r)
{
	buf_deinit(&r->key);
	buf_deinit(&r->data);
	*r = (struct record){0};
}

void records_free(struct record *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		record_deinit(&rows[i]);
	free(rows);
}

void store_page_deinit(struct store_page *p)
{
	for (size_t i = 0; i < p->n; i++)
		task_row_deinit(&p->rows[i]);
	free(p->rows);
	*p = (struct store_page){0};
}

void store_queues_free(char **names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(names[i]);
	free(names);
}

void attempt_rows_free(struct attempt_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		attempt_row_deinit(&rows[i]);
	free(rows);
}

void event_rows_free(struct event_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		event_row_deinit(&rows[i]);
	free(rows);
}

int task_row_turn(const struct task_row *a, const struct task_row *b)
{
	if (a->priority != b->priority)
		return a->priority > b->priority ? -1 : 1;
	if (a->run_at_us != b->run_at_us)
		return a->run_at_us < b->run_at_us ? -1 : 1;
	return memcmp(a->id.b, b->id.b, sizeof a->id.b);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Hyphens may be left out, also where they belong. */
bool uuid_tail_parse(const char *text, struct uuid_tail *out)
{
	size_t len = strlen(text);

	*out = (struct uuid_tail){0};
	if (len >= UUID_TEXT_SIZE)
		return false;
	for (const char *p = text + len; p-- > text;) {
		unsigned at = 31 - out->n_nibbles;
		int v = hex_digit(*p);

		if (*p == '-')
			continue;
		if (v < 0 || out->n_nibbles == 32)
			return false;
		out->id.b[at / 2] |= (uint8_t)(at % 2 ? v : v << 4);
		out->n_nibbles++;
	}
	return out->n_nibbles >= 6;
}

bool uuid_tail_match(const struct uuid_tail *t, const struct uuid *id)
{
	unsigned bytes = t->n_nibbles / 2;

	if (memcmp(t->id.b + 16 - bytes, id->b + 16 - bytes, bytes) != 0)
		return false;
	return t->n_nibbles % 2 == 0 || (id->b[15 - bytes] & 0x0f) == t->id.b[15 - bytes];
}

struct store_place store_place_of(enum store_index index, const struct task_row *row)
{
	struct store_place p = {.id = row->id};

	if (index == INDEX_TURN) {
		p.major = row->priority;
		p.minor = row->run_at_us;
	} else if (index == INDEX_RUN_AT) {
		p.major = row->run_at_us;
	} else if (index == INDEX_END) {
		p.major = row->end_us;
	}
	return p;
}
