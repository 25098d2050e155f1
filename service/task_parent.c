/* task_parent.c: see task_parent.h. */
#include "service/task_parent.h"

#include <pthread.h>

#include "base/pbuf.h"
#include "errand/status.h"
#include "service/store_thread.h"
#include "service/task_pack.h"

/* On the stack of who waits. */
struct ask {
	struct store_op op;
	struct uuid id;
	struct task_row row;
	pthread_mutex_t lock;
	pthread_cond_t done;
	bool is_done;         /* under lock */
	int code;
};

static int ask_run(struct store_op *op, const struct store_ops *ops, struct store *s)
{
	struct ask *a = CONTAINER_OF(op, struct ask, op);

	task_row_deinit(&a->row);
	return ops->get(s, &a->id, PART_RESULT, &a->row);
}

static void ask_done(struct store_op *op, int code)
{
	struct ask *a = CONTAINER_OF(op, struct ask, op);

	pthread_mutex_lock(&a->lock);
	a->code = code;
	a->is_done = true;
	pthread_cond_signal(&a->done);
	pthread_mutex_unlock(&a->lock);
}

static int pack(const struct task_row *row, struct buf *any)
{
	AUTO_BUF field = BUF_INIT;
	struct pbuf_reader r;
	struct pbuf_field f;

	if (row->state != TASK_SUCCEEDED || !task_pack_any_result(row, 1, &field))
		return -ERRAND_FAILED_PRECONDITION;
	r = pbuf_reader(field.data, field.len);
	if (pbuf_next(&r, &f))
		buf_append(any, f.bytes.data, f.bytes.len);
	return 0;
}

int task_parent_result(const struct uuid *id, struct buf *any)
{
	struct ask a = {.op = {.run = ask_run, .done = ask_done}, .id = *id,
			.lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};

	store_thread_submit(&a.op);
	pthread_mutex_lock(&a.lock);
	while (!a.is_done)
		pthread_cond_wait(&a.done, &a.lock);
	pthread_mutex_unlock(&a.lock);
	if (a.code == 0)
		a.code = pack(&a.row, any);
	else if (a.code != -ERRAND_NOT_FOUND)
		a.code = -ERRAND_UNAVAILABLE;
	task_row_deinit(&a.row);
	return a.code;
}
