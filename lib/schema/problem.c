/* problem.c: see problem.h. One flat object whose members come in a fixed order. */
#include "schema/problem.h"

#include "base/err.h"
#include "base/json.h"

static void put_member(struct buf *b, const char *name, const char *value)
{
	json_put_cstr(b, name);
	buf_append_byte(b, ':');
	json_put_cstr(b, value);
}

static void put_fault(struct buf *b, const struct fault *f)
{
	static const char *const places[] = {
		[FAULT_POINTER] = "pointer",
		[FAULT_PARAMETER] = "parameter",
		[FAULT_HEADER] = "header",
	};

	buf_append_byte(b, '{');
	put_member(b, places[f->place], f->where);
	buf_append_byte(b, ',');
	put_member(b, "rule", f->rule);
	buf_append_byte(b, ',');
	put_member(b, "detail", f->detail);
	if (f->value != NULL) {
		buf_append_byte(b, ',');
		put_member(b, "value", f->value);
	}
	buf_append_byte(b, '}');
}

static void put_faults(struct buf *b, const struct fault_list *faults)
{
	buf_append_str(b, ",\"errors\":[");
	for (size_t i = 0; i < faults->n; i++) {
		if (i != 0)
			buf_append_byte(b, ',');
		put_fault(b, &faults->items[i]);
	}
	buf_append_byte(b, ']');
}

void problem_write(struct buf *b, int status, int code, const char *detail, const char *instance,
		   const struct fault_list *faults)
{
	buf_append_str(b, "{\"type\":\"about:blank\",");
	put_member(b, "title", err_http_reason(status));
	buf_append_str(b, ",\"status\":");
	json_put_int(b, status);
	buf_append_byte(b, ',');
	put_member(b, "detail", detail);
	if (instance != NULL) {
		buf_append_byte(b, ',');
		put_member(b, "instance", instance);
	}
	buf_append_byte(b, ',');
	put_member(b, "code", err_info(code)->name);
	if (faults != NULL && faults->n != 0)
		put_faults(b, faults);
	buf_append_byte(b, '}');
}
