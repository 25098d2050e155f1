/* task_filter_impl.h: a parsed filter, for task_filter*.c. */
#ifndef SERVICE_TASK_FILTER_IMPL_H
#define SERVICE_TASK_FILTER_IMPL_H

#include "service/task_filter.h"

enum filter_type { FIELD_STATE, FIELD_TEXT, FIELD_NUMBER, FIELD_TIME, FIELD_LABEL };

struct filter_field {
	const char *name;
	enum filter_type type;
	const char *(*text)(const struct task_row *t);  /* NULL or "": no value */
	int64_t (*number)(const struct task_row *t);    /* of times: microseconds, 0 = none */
};
/* The fields by the name in Task; the last one's name is NULL. */
extern const struct filter_field task_filter_fields[];

enum filter_op { OP_EQ, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE, OP_HAS };

struct filter_node {
	enum { FILTER_TEST, FILTER_AND, FILTER_OR, FILTER_NOT } kind;
	struct filter_node *child, *next; /* owned; next: the parent's next child */
	/* of a test */
	const struct filter_field *field;
	enum filter_op op;
	char *key;              /* of labels; owned */
	char *text;             /* of FIELD_TEXT and FIELD_LABEL, without its *; owned */
	size_t len;             /* of text */
	bool open_start, open_end; /* a * stood there */
	int64_t number;         /* state, number, seconds of a time */
	int32_t nanos;
};

struct task_filter {
	struct filter_node *root; /* NULL: takes everything */
	size_t n_tests;
	bool reads_labels;
};

#endif
