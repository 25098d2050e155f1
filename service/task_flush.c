/* task_flush.c: see task_flush.h. */
#include "service/task_flush.h"

#include "base/clock.h"
#include "errand/status.h"
#include "service/lease.h"
#include "service/task_engine.h"

#define FLUSH_NS (250 * NS_PER_MS)     /* between flushes */
#define PROGRESS_NS (500 * NS_PER_MS)  /* between writes of progress and checkpoints */

/* What was said since the last flush, written in one op. */
struct flush_op {
	struct store_op op;
	struct task_flush *of;     /* NULL: it is gone */
	struct uuid id;
	uint32_t attempt;
	struct feed_batch batch;
	struct task_changes changes;
};

/* --- the store's side --- */

int task_flush_row(const struct store_ops *ops, struct store *s, const struct uuid *id,
		   uint32_t attempt, struct task_row *row)
{
	int r = ops->get(s, id, 0, row);

	if (r == -ERRAND_NOT_FOUND)
		return 1;
	if (r == 0 && (row->attempt != attempt || row->owner != lease_owner() ||
		       (row->state != TASK_RUNNING && row->state != TASK_CANCELLING))) {
		task_row_deinit(row);
		return 1;
	}
	return r;
}

static int write_lines(struct task_move *m, const struct feed_batch *b)
{
	int r = 0;

	LIST_FOREACH(node, &b->lines) {
		const struct task_line *l = LIST_ENTRY(node, struct task_line, node);

		if (r == 0)
			r = task_move_line(m, l->stream, (struct bytes){(const uint8_t *)l->text, l->len},
					   l->time_us);
	}
	m->row->log_bytes += b->n_bytes;
	m->row->log_dropped += b->dropped;
	return r;
}

int task_flush_write(struct task_move *m, const struct feed_batch *b)
{
	int r = write_lines(m, b);

	if (r == 0 && b->has_progress)
		r = task_move_progress(m, b->fraction, b->message, buf_bytes(&b->detail));
	if (r == 0 && b->checkpoint.len > 0)
		r = task_move_checkpoint(m, buf_bytes(&b->checkpoint));
	return r;
}

static int flush_run(struct store_op *op, const struct store_ops *ops, struct store *s)
{
	struct flush_op *f = CONTAINER_OF(op, struct flush_op, op);
	struct task_row row = {0};
	struct task_move m = task_move_begin(ops, s, &row, &f->changes);
	int r = task_flush_row(ops, s, &f->id, f->attempt, &row);

	task_changes_reset(&f->changes);
	if (r != 0)
		return r < 0 ? r : 0;
	r = task_flush_write(&m, &f->batch);
	if (r == 0)
		r = task_move_save(&m, 0);
	task_row_deinit(&row);
	return r;
}

/* --- on the loop --- */

static void feed_on_news(void *arg);

static void flush_free(struct flush_op *f)
{
	feed_batch_deinit(&f->batch);
	task_changes_deinit(&f->changes);
	free(f);
}

/* Lines count as dropped. */
static void flush_failed(struct task_flush *w, struct flush_op *f)
{
	w->dropped += f->batch.n_bytes;
	feed_again(feed_number(w->feed), &f->batch);
}

static void flush_done(struct store_op *op, int code)
{
	struct flush_op *f = CONTAINER_OF(op, struct flush_op, op);
	struct task_flush *w = f->of;

	if (code == 0)
		task_publish(&f->changes);
	if (w != NULL) {
		w->op = NULL;
		if (code < 0)
			flush_failed(w, f);
		feed_on_news(w);
	}
	flush_free(f);
}

static void flush_now(void *arg)
{
	struct task_flush *w = arg;
	int64_t now = clock_mono_ns();
	bool progress = now - w->progress_ns >= PROGRESS_NS;
	struct flush_op *f = xcalloc(1, sizeof *f);

	feed_take(w->feed, progress, &f->batch);
	w->dropped += f->batch.dropped;
	if (feed_batch_empty(&f->batch)) {
		flush_free(f);
		feed_on_news(w);
		return;
	}
	w->flush_ns = now;
	if (f->batch.has_progress || f->batch.checkpoint.len > 0)
		w->progress_ns = now;
	f->of = w;
	f->id = w->id;
	f->attempt = w->attempt;
	f->op = (struct store_op){.run = flush_run, .done = flush_done, .writes = true};
	w->op = f;
	store_thread_submit(&f->op);
}

/* Something waits: flush it as soon as the pace allows. */
static void feed_on_news(void *arg)
{
	struct task_flush *w = arg;
	enum feed_news news;
	int64_t at;

	if (w->op != NULL || w->over || w->timer.event != NULL ||
	    (news = feed_news(w->feed)) == FEED_NOTHING)
		return;
	at = news == FEED_LINES ? w->flush_ns + FLUSH_NS : w->progress_ns + PROGRESS_NS;
	at -= clock_mono_ns();
	if (at <= 0)
		flush_now(w);
	else
		loop_timer_start(&w->timer, at, flush_now, w);
}

void task_flush_init(struct task_flush *w, const struct uuid *id, uint32_t attempt)
{
	*w = (struct task_flush){.id = *id, .attempt = attempt};
	w->feed = feed_new(engine.config.max_log, feed_on_news, w);
	w->flush_ns = w->progress_ns = INT64_MIN / 2;
}

void task_flush_deinit(struct task_flush *w)
{
	if (w->op != NULL)
		w->op->of = NULL;
	loop_timer_cancel(&w->timer);
	w->feed = feed_free(w->feed);
}

bool task_flush_busy(const struct task_flush *w)
{
	return w->op != NULL || feed_news(w->feed) != FEED_NOTHING;
}

uint64_t task_flush_end(struct task_flush *w, struct feed_batch *out)
{
	w->over = true;
	loop_timer_cancel(&w->timer);
	feed_take(w->feed, true, out);
	return w->dropped + out->dropped;
}
