/* store_rig.c: a store of a kind in a directory of its own, and rows to put in. */
#define _GNU_SOURCE
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store_rig.h"

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

struct fixture *fixture_new(const struct store_ops *ops)
{
	struct fixture *f = xcalloc(1, sizeof *f);

	f->ops = ops;
	strcpy(f->dir, "/tmp/errand-store-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->file, sizeof f->file, "%s/tasks.db", f->dir);
	return f;
}

void open_store(struct fixture *f)
{
	int r = f->ops->open(f->file, &f->s, f->why, sizeof f->why);

	if (r != 0)
		fail_msg("open: %d %s", r, f->why);
}

void close_store(struct fixture *f)
{
	if (f->s != NULL)
		f->ops->close(f->s);
	f->s = NULL;
}

int setup_memory(void **state)
{
	*state = fixture_new(&store_memory);
	open_store(*state);
	return 0;
}

int setup_sqlite(void **state)
{
	*state = fixture_new(&store_sqlite);
	open_store(*state);
	return 0;
}

int teardown(void **state)
{
	struct fixture *f = *state;

	close_store(f);
	nftw(f->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(f);
	return 0;
}

/* --- rows --- */

struct uuid id_of(unsigned n)
{
	struct uuid u = {{0x01, 0x93, 0, 0, 0, 0, 0x70, 0, 0x80}};

	u.b[12] = (uint8_t)(n >> 24);
	u.b[13] = (uint8_t)(n >> 16);
	u.b[14] = (uint8_t)(n >> 8);
	u.b[15] = (uint8_t)n;
	return u;
}

struct task_row row_of(unsigned n)
{
	struct task_row t = {.id = id_of(n), .method = xstrdup("pkg.S/M"), .queue = xstrdup("default"),
			     .state = TASK_QUEUED, .version = 1, .create_us = 1000 + n,
			     .run_at_us = 1000 + n};

	buf_append_str(&t.input, "input");
	buf_append_str(&t.metadata, "meta");
	return t;
}

void begin(struct fixture *f)
{
	assert_int_equal(f->ops->begin(f->s), 0);
}

void commit(struct fixture *f)
{
	assert_int_equal(f->ops->commit(f->s), 0);
}

void put(struct fixture *f, const struct task_row *t)
{
	begin(f);
	assert_int_equal(f->ops->insert(f->s, t), 0);
	commit(f);
}

void put_in(struct fixture *f, unsigned n, const char *queue, enum task_state state,
		   int priority, int64_t run_at_us)
{
	ROW t = row_of(n);

	free(t.queue);
	t.queue = xstrdup(queue);
	t.state = state;
	t.priority = priority;
	t.run_at_us = run_at_us;
	put(f, &t);
}

void assert_buf(const struct buf *b, const char *text)
{
	assert_int_equal(b->len, strlen(text));
	assert_memory_equal(b->data ? b->data : (uint8_t *)"", text, b->len);
}

const char *claim_list(struct fixture *f, const char *queue, size_t n)
{
	static char text[256];
	struct task_row rows[32];
	size_t n_rows, at = 0;

	assert_int_equal(f->ops->claimable(f->s, queue, n, rows, &n_rows), 0);
	text[0] = 0;
	for (size_t i = 0; i < n_rows; i++) {
		assert_buf(&rows[i].input, "input");
		assert_buf(&rows[i].metadata, "meta");
		at += (size_t)snprintf(text + at, sizeof text - at, "%d ", rows[i].id.b[15]);
		task_row_deinit(&rows[i]);
	}
	return text;
}
