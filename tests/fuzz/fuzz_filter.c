/* fuzz_filter.c: any text as a filter of tasks. What is taken is printed so that it
 * means the same when read again; what is refused says in which column. */
#include <stdio.h>
#include <stdlib.h>

#include "base/pbuf.h"
#include "service/task_filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fail(const char *what, const char *text)
{
	fprintf(stderr, "%s: %s\n", what, text);
	abort();
}

/* Rows that differ in all that is asked about. */
static void make_row(struct task_row *t, unsigned n)
{
	AUTO_BUF entry = BUF_INIT;

	*t = (struct task_row){.method = n % 2 ? "a.v1.B/C" : "d", .queue = n % 3 ? "media" : "default",
		.state = (enum task_state)(1 + n % (TASK_N_STATES - 1)), .priority = (int32_t)n - 4,
		.attempt = n, .crash_count = n % 3, .create_us = 1767225600000000LL + n,
		.end_us = n % 2 ? 1767225600000001LL : 0};
	if (n % 4 == 0)
		return;
	pbuf_put_str(&entry, 1, n % 2 ? "customer" : "k");
	pbuf_put_str(&entry, 2, n % 3 ? "x" : "");
	pbuf_put_bytes(&t->options, 5, entry.data, entry.len);
	t->flags = TASK_HAS_LABELS;
}

static void check(const struct task_filter *f, const struct task_filter *again, const char *text)
{
	struct task_filter_hint hint;

	task_filter_hint(f, &hint);
	for (unsigned n = 0; n < 24; n++) {
		struct task_row t;
		bool takes;

		make_row(&t, n);
		takes = task_filter_match(f, &t);
		if (takes != task_filter_match(again, &t))
			fail("printed, it means something else", text);
		if (takes && (!(hint.states & 1u << t.state) || t.create_us < hint.create_min_us ||
			      t.create_us > hint.create_max_us ||
			      (hint.queue != NULL && strcmp(hint.queue, t.queue) != 0) ||
			      (hint.method != NULL && strcmp(hint.method, t.method) != 0)))
			fail("takes what its hint leaves out", text);
		buf_deinit(&t.options);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_FREE char *text = xstrndup((const char *)data, size);
	AUTO_BUF once = BUF_INIT;
	AUTO_BUF twice = BUF_INIT;
	struct task_filter *f, *again;
	char why[512] = "";

	if (task_filter_parse(text, &f, why, sizeof why) < 0) {
		if (f != NULL || strncmp(why, "column ", 7) != 0)
			fail("refused without a reason", text);
		return 0;
	}
	task_filter_print(f, &once);
	if (task_filter_parse(buf_cstr(&once), &again, why, sizeof why) < 0) {
		/* printed, it is longer and has more parentheses */
		if (strstr(why, "in each other") == NULL && strstr(why, "bytes") == NULL)
			fail(why, buf_cstr(&once));
	} else {
		task_filter_print(again, &twice);
		if (strcmp(buf_cstr(&once), buf_cstr(&twice)) != 0)
			fail("printed twice, it differs", buf_cstr(&once));
		check(f, again, text);
	}
	task_filter_free(f);
	task_filter_free(again);
	return 0;
}
