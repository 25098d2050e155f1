/* fuzz_scan.c: any bytes through the scanner. What it rewrites passes the scanner
 * again and needs no second rewriting, and both forms show the same JSON. */
#include <stdlib.h>

#include "fuzz_schema.h"
#include "schema/scan.h"
#include "schema/transcode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_rewritten(const struct schema_message *m, struct bytes before, const struct buf *merged)
{
	struct transcode_write wo = {.schema = fuzz_schema()};
	AUTO_BUF again = BUF_INIT;
	AUTO_BUF a = BUF_INIT;
	AUTO_BUF b = BUF_INIT;
	char why[600] = "", why2[600] = "";
	int err_a, err_b;

	if (scan_message(m, buf_bytes(merged), NULL, &again, why, sizeof why) < 0)
		fuzz_fail(why, before, buf_bytes(merged));
	if (again.len != 0)
		fuzz_fail("rewritten twice", before, buf_bytes(merged));
	err_a = transcode_to_json(&wo, m, before, &a, why, sizeof why);
	err_b = transcode_to_json(&wo, m, buf_bytes(merged), &b, why2, sizeof why2);
	if (err_a != err_b || a.len != b.len || (a.len && memcmp(a.data, b.data, a.len) != 0))
		fuzz_fail("another message", buf_bytes(&a), buf_bytes(&b));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct schema_message *m = fuzz_message(size ? data[0] : 0);
	struct bytes wire = {data + (size > 0), size - (size > 0)};
	struct scan_limits limits = {.max_elements = size > 1 && data[0] & 0x80 ? 20 : 0};
	AUTO_BUF merged = BUF_INIT;
	char why[600] = "";

	if (scan_message(m, wire, &limits, &merged, why, sizeof why) == 0 && merged.len > 0)
		check_rewritten(m, wire, &merged);
	return 0;
}
