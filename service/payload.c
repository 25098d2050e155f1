/* payload.c: see payload.h. Any thread. The numbers are those of
 * proto/errand/v1/problem.proto. */
#include "service/payload.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/pbuf.h"
#include "schema/scan.h"
#include "schema/validate.h"

enum { TOO_LARGE = 413 };

static void put_violation(struct buf *out, const struct fault *f)
{
	static const uint32_t places[] = {[FAULT_POINTER] = 1, [FAULT_PARAMETER] = 2, [FAULT_HEADER] = 3};
	AUTO_BUF v = BUF_INIT;

	pbuf_put_str(&v, places[f->place], f->where);
	pbuf_put_str(&v, 4, f->rule);
	pbuf_put_str(&v, 5, f->detail);
	if (f->value != NULL)
		pbuf_put_str(&v, 6, f->value);
	pbuf_put_bytes(out, 7, v.data, v.len);
}

static void put_head(struct buf *out, int code, unsigned status, const char *detail)
{
	pbuf_put_str(out, 1, "about:blank");
	pbuf_put_str(out, 2, err_http_reason((int)status));
	pbuf_put_uint(out, 3, status);
	pbuf_put_str(out, 4, detail);
	pbuf_put_str(out, 6, err_info(code)->name);
}

void payload_problem(const struct fault_list *faults, struct buf *out)
{
	size_t n = faults->n + faults->n_dropped;
	char many[64];

	snprintf(many, sizeof many, "%zu faults in the request", n);
	put_head(out, ERRAND_INVALID_ARGUMENT, (unsigned)fault_http_status(faults), n == 1 ? faults->items[0].detail : many);
	for (size_t i = 0; i < faults->n; i++)
		put_violation(out, &faults->items[i]);
}

void payload_say(const struct fault_list *faults, char *why, size_t why_size)
{
	const struct fault *f = &faults->items[0];
	size_t more = faults->n + faults->n_dropped - 1;
	AUTO_BUF text = BUF_INIT;
	size_t len;

	buf_printf(&text, "%.100s: %.100s (%.60s)", f->where, f->detail, f->rule);
	if (more > 0)
		buf_printf(&text, ", and %zu more", more);
	len = json_utf8_valid(text.data, MIN(text.len, why_size - 1));
	memcpy(why, text.data, len);
	why[len] = '\0';
}

/* 0 when there are none; they are needed no longer. */
static int tell(struct fault_list *faults, struct buf *problem, char *why, size_t why_size)
{
	int err = faults->n > 0 ? -ERRAND_INVALID_ARGUMENT : 0;

	if (err < 0) {
		payload_say(faults, why, why_size);
		payload_problem(faults, problem);
	}
	fault_list_deinit(faults);
	return err;
}

static int check_rules(const struct schema_message *m, struct bytes in, struct buf *problem, char *why,
		       size_t why_size)
{
	struct fault_list faults = FAULT_LIST_INIT;

	validate_message(m, in, NULL, &faults);
	return tell(&faults, problem, why, why_size);
}

int payload_check(const struct schema_message *m, struct bytes *in, bool rules, struct buf *merged,
		  struct buf *problem, char *why, size_t why_size)
{
	int err = scan_message(m, *in, NULL, merged, why, why_size);

	/* Whatever the hour: not 429, which asks to come again later. */
	if (err == -ERRAND_RESOURCE_EXHAUSTED)
		put_head(problem, ERRAND_RESOURCE_EXHAUSTED, TOO_LARGE, why);
	if (err < 0)
		return err;
	if (merged->len > 0)
		*in = buf_bytes(merged);
	return rules && m->has_rules ? check_rules(m, *in, problem, why, why_size) : 0;
}

/* The schema's rules and the runner's together, so that all faults are told at once. */
int payload_check_input(const struct method *m, struct bytes *in, bool rules, struct buf *merged,
			struct buf *problem, char *why, size_t why_size)
{
	bool own = rules && m->runner != NULL && m->runner->check != NULL;
	struct fault_list faults = FAULT_LIST_INIT;
	int err = payload_check(m->schema->input, in, rules && !own, merged, problem, why, why_size);

	if (err < 0 || !own)
		return err;
	validate_message(m->schema->input, *in, NULL, &faults);
	m->runner->check(m, *in, &faults);
	return tell(&faults, problem, why, why_size);
}
