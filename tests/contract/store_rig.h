/* store_rig.h: a store of a kind in a directory of its own, and rows to put in. What
 * goes wrong here fails the test. */
#ifndef TESTS_STORE_RIG_H
#define TESTS_STORE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "service/store.h"

struct fixture {
	const struct store_ops *ops;
	struct store *s;
	char dir[64], file[96];
	char why[512];
};

/* Gives a fixture whose store is not open; teardown takes it. */
struct fixture *fixture_new(const struct store_ops *ops);
void open_store(struct fixture *f);
void close_store(struct fixture *f);

/* As cmocka wants them: *state is the fixture, with its store open. */
int setup_memory(void **state);
int setup_sqlite(void **state);
int teardown(void **state);

#define ROW __attribute__((cleanup(task_row_deinit))) struct task_row

/* The id whose last four bytes are n. */
struct uuid id_of(unsigned n);

/* Gives a queued row of that id, with input "input" and metadata "meta". */
struct task_row row_of(unsigned n);

void begin(struct fixture *f);
void commit(struct fixture *f);

/* Inserts in a transaction of its own. */
void put(struct fixture *f, const struct task_row *t);
void put_in(struct fixture *f, unsigned n, const char *queue, enum task_state state, int priority,
	    int64_t run_at_us);

void assert_buf(const struct buf *b, const char *text);

/* The numbers of the ids that are due, as "3 1 "; valid until the next call. */
const char *claim_list(struct fixture *f, const char *queue, size_t n);

#define SQLITE(fn) {"sqlite: " #fn, fn, setup_sqlite, teardown, NULL}
#define BOTH(fn) {"memory: " #fn, fn, setup_memory, teardown, NULL}, SQLITE(fn)

#endif
