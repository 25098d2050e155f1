/* store_thread.h: the only thread that touches the database. It takes all waiting
 * operations into one transaction, commits, then completes them on the loop
 * thread (group commit): the cost of an fsync is shared by all who wait for it. */
#ifndef SERVICE_STORE_THREAD_H
#define SERVICE_STORE_THREAD_H

#include "service/loop.h"
#include "service/store.h"

/* Embedded in its owner, which lives until done() has run. */
struct store_op {
	struct list node;
	/* Store thread, inside the transaction. 0, or a negative errand_code: then what
	 * this op wrote is undone while the others go on. RESOURCE_EXHAUSTED,
	 * UNAVAILABLE and DATA_LOSS are the store's own. May be run again after its
	 * transaction was undone: it starts afresh each time. An op that writes must
	 * say so (`writes`); reads alone are not committed with fsync. */
	int (*run)(struct store_op *op, const struct store_ops *ops, struct store *s);
	/* Loop thread, after COMMIT (or its failure: code tells). */
	void (*done)(struct store_op *op, int code);
	bool writes;
	bool finishes; /* ends or removes work: on a full disk it may use what was kept back,
			* while others that write are refused (RESOURCE_EXHAUSTED) */
	bool last;     /* behind all that waits with it, whenever that was submitted */
	bool between;  /* run between transactions, by itself; what it writes it commits */
	int code; /* store_thread.c's */
};

/* Takes the open store. Loop thread. Negative: no thread could be made. */
int store_thread_start(const struct store_ops *ops, struct store *s);
/* Before the start: died() is run once, on the loop, when the store cannot be used any
 * more (store_ops.is_dead); who waited has his error by then, and so has everybody who
 * writes from then on. */
void store_thread_on_death(void (*died)(void));
/* Any thread; ops of one thread run in the order of their submission, and the ops
 * of one turn of the loop go together; those `last` and `between` have orders of their
 * own. */
void store_thread_submit(struct store_op *op);
/* Ops submitted whose done() has not returned. Any thread. */
size_t store_thread_pending(void);
/* Loop thread. Runs what waits and its done(), closes the store and joins. */
void store_thread_stop(void);
/* False once the store failed to commit (disk, I/O), until it works again: writes
 * answer UNAVAILABLE meanwhile, on a full disk RESOURCE_EXHAUSTED. */
bool store_thread_ok(void);
/* In words, why it last failed; "" when it never did. Any thread. */
void store_thread_error(char *out, size_t size);

#endif
