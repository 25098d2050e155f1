/* fuzz_json_to_wire.c: any text as JSON of any message. What is accepted can be
 * shown, passes the scanner, and its JSON read again gives the same wire bytes, in
 * canonical form; what is refused has a fault and leaves no bytes. */
#include <stdlib.h>

#include "fuzz_schema.h"
#include "schema/scan.h"
#include "schema/transcode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* NaNs are one already: JSON has only one. A message that lacks required fields
 * has no canonical form, whichever way. */
static void check_wire(const struct schema_message *m, const struct buf *a, const struct buf *b)
{
	AUTO_BUF x = BUF_INIT;
	AUTO_BUF y = BUF_INIT;
	AUTO_BUF z = BUF_INIT;
	char why[600] = "";
	int err_x = transcode_normalize(m, buf_bytes(a), &x, why, sizeof why);
	int err_y = transcode_normalize(m, buf_bytes(b), &y, why, sizeof why);

	if (err_x != err_y || x.len != y.len || (x.len && memcmp(x.data, y.data, x.len) != 0))
		fuzz_fail("another message", buf_bytes(a), buf_bytes(b));
	if (err_x < 0)
		return;
	if (transcode_normalize(m, buf_bytes(&x), &z, why, sizeof why) < 0 || z.len != x.len ||
	    (x.len && memcmp(x.data, z.data, x.len) != 0))
		fuzz_fail("canonical form is not stable", buf_bytes(&x), buf_bytes(&z));
}

static void check_again(const struct schema_message *m, const struct buf *wire)
{
	struct transcode_read ro = {.schema = fuzz_schema()};
	struct transcode_write wo = {.schema = fuzz_schema()};
	struct fault_list faults = FAULT_LIST_INIT;
	AUTO_BUF first = BUF_INIT;
	AUTO_BUF second = BUF_INIT;
	AUTO_BUF again = BUF_INIT;
	AUTO_BUF merged = BUF_INIT;
	char why[600] = "";

	if (scan_message(m, buf_bytes(wire), NULL, &merged, why, sizeof why) < 0)
		fuzz_fail(why, buf_bytes(wire), (struct bytes){0});
	if (transcode_to_json(&wo, m, buf_bytes(wire), &first, why, sizeof why) < 0)
		fuzz_fail(why, buf_bytes(wire), (struct bytes){0});
	if (transcode_from_json(&ro, m, (char *)first.data, first.len, "#", &again, &faults) < 0)
		fuzz_fail(faults.items[0].detail, buf_bytes(&first), (struct bytes){0});
	check_wire(m, wire, &again);
	if (transcode_to_json(&wo, m, buf_bytes(&again), &second, why, sizeof why) < 0 ||
	    first.len != second.len || memcmp(first.data, second.data, first.len) != 0)
		fuzz_fail("not stable", buf_bytes(&first), buf_bytes(&second));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct schema_message *m = fuzz_message(size ? data[0] : 0);
	struct transcode_read ro = {.schema = fuzz_schema(), .ignore_unknown = size && data[0] & 0x80};
	struct fault_list faults = FAULT_LIST_INIT;
	AUTO_BUF wire = BUF_INIT;
	int err;

	err = transcode_from_json(&ro, m, (const char *)data + (size > 0), size - (size > 0), "#", &wire,
				  &faults);
	if (err < 0 && (faults.n == 0 || wire.len != 0))
		fuzz_fail("refused without a fault", (struct bytes){0}, (struct bytes){0});
	if (err == 0)
		check_again(m, &wire);
	fault_list_deinit(&faults);
	return 0;
}
