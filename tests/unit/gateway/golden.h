/* golden.h: wire bytes and faults as text, for tables of text in, text out. */
#ifndef TESTS_UNIT_GATEWAY_GOLDEN_H
#define TESTS_UNIT_GATEWAY_GOLDEN_H

#include "fixture.h"
#include "schema/route.h"
#include "schema/transcode.h"

/* {"id":1} ; or "422 parameter q unknown; ..." */
static inline const char *golden_text(const struct schema *s, const struct schema_message *m,
				      struct bytes wire, const struct fault_list *faults, struct buf *out)
{
	static const char *const places[] = {"pointer", "parameter", "header"};
	const struct transcode_write o = {.schema = s, .skip_zero = true};
	char why[256] = "";

	buf_reset(out);
	if (faults->n == 0) {
		if (transcode_to_json(&o, m, wire, out, why, sizeof why) < 0)
			buf_printf(out, "bad wire: %s", why);
		return buf_cstr(out);
	}
	buf_printf(out, "%d", fault_http_status(faults));
	for (size_t i = 0; i < faults->n; i++)
		buf_printf(out, "%s %s %s %s", i ? ";" : "", places[faults->items[i].place],
			   faults->items[i].where, faults->items[i].rule);
	return buf_cstr(out);
}

static inline struct route_match golden_route(const struct route_table *t, const char *verb,
					      const char *path)
{
	struct route_match m;
	AUTO_BUF allow = BUF_INIT;

	assert_int_equal(route_find(t, verb, path, &m, &allow), 0);
	return m;
}

#endif
