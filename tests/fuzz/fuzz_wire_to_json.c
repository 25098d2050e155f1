/* fuzz_wire_to_json.c: any bytes as any message, shown as JSON. What can be shown
 * is valid JSON: read back it is accepted, and shown again it is the same. What has a canonical form shows the
 * same JSON from there, and has the same canonical form again. */
#include <stdlib.h>

#include "fuzz_schema.h"
#include "schema/transcode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Text that is not readable again by design: NUL in strings, closed enums. */
static bool may_be_refused(const struct fault_list *faults)
{
	for (size_t i = 0; i < faults->n; i++) {
		const char *rule = faults->items[i].rule;

		if (faults->items[i].kind == FAULT_SYNTAX)
			return strcmp(rule, "depth") == 0 || strcmp(rule, "duplicate") == 0;
		if (strcmp(rule, "nul") != 0 && strcmp(rule, "enum") != 0)
			return false;
	}
	return true;
}

static void check_again(const struct schema_message *m, const struct buf *first)
{
	struct transcode_read ro = {.schema = fuzz_schema()};
	struct transcode_write wo = {.schema = fuzz_schema()};
	struct fault_list faults = FAULT_LIST_INIT;
	AUTO_BUF wire = BUF_INIT;
	AUTO_BUF second = BUF_INIT;
	char why[300] = "";

	if (transcode_from_json(&ro, m, (const char *)first->data, first->len, "#", &wire, &faults) < 0) {
		if (!may_be_refused(&faults))
			fuzz_fail(faults.items[0].detail, buf_bytes(first), (struct bytes){0});
		fault_list_deinit(&faults);
		return;
	}
	if (transcode_to_json(&wo, m, buf_bytes(&wire), &second, why, sizeof why) < 0 ||
	    first->len != second.len || memcmp(first->data, second.data, second.len) != 0)
		fuzz_fail("not stable", buf_bytes(first), buf_bytes(&second));
}

static void check_canonical(const struct schema_message *m, struct bytes wire)
{
	struct transcode_write wo = {.schema = fuzz_schema(), .skip_zero = true, .json_names = true};
	AUTO_BUF norm = BUF_INIT;
	AUTO_BUF again = BUF_INIT;
	AUTO_BUF a = BUF_INIT;
	AUTO_BUF b = BUF_INIT;
	char why[600] = "";
	int err_a, err_b;

	if (transcode_normalize(m, wire, &norm, why, sizeof why) < 0)
		return;
	if (transcode_normalize(m, buf_bytes(&norm), &again, why, sizeof why) < 0 ||
	    again.len != norm.len || (norm.len && memcmp(norm.data, again.data, norm.len) != 0))
		fuzz_fail("canonical form is not stable", buf_bytes(&norm), buf_bytes(&again));
	err_a = transcode_to_json(&wo, m, buf_bytes(&norm), &a, why, sizeof why);
	err_b = transcode_to_json(&wo, m, buf_bytes(&again), &b, why, sizeof why);
	if (err_a != err_b || a.len != b.len || (a.len && memcmp(a.data, b.data, a.len) != 0))
		fuzz_fail("canonical form shows another message", buf_bytes(&a), buf_bytes(&b));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct schema_message *m = fuzz_message(size ? data[0] : 0);
	struct bytes wire = {data + (size > 0), size - (size > 0)};
	struct transcode_write wo = {.schema = fuzz_schema(), .skip_zero = size && data[0] & 0x40,
				     .pretty = size && data[0] & 0x80};
	AUTO_BUF json = BUF_INIT;
	AUTO_BUF text = BUF_INIT;
	char why[300] = "";

	for (size_t i = 0; i < m->n_fields; i++) {
		buf_reset(&text);
		transcode_field_text(&m->fields[i], wire, &text);
		buf_reset(&text);
		transcode_field_to_json(&wo, &m->fields[i], wire, &text, why, sizeof why);
	}
	check_canonical(m, wire);
	if (transcode_to_json(&wo, m, wire, &json, why, sizeof why) < 0)
		return 0;
	if (!wo.skip_zero && !wo.pretty)
		check_again(m, &json);
	return 0;
}
