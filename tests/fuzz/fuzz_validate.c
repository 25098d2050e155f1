/* fuzz_validate.c: any bytes against messages with all rules. Bytes that are a message
 * break as many rules as their canonical form does: pieces, order and zeros that are
 * written out make no difference. */
#include <stdio.h>
#include <stdlib.h>

#include "fuzz_schema.h"
#include "schema/scan.h"
#include "schema/transcode.h"
#include "schema/validate.h"
#include "tests/support/load.h"

#define RULES_SET "tests/golden/validate/rules.pb"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct schema_message *choose(uint8_t choice)
{
	static const char *const names[] = {
		"Int32s", "Kinds", "Floats", "Enums", "Strings", "Bytes", "Lists", "AtLeastOne", "Maps",
		"Required", "Ignore", "Item", "Wrappers", "Durations", "Timestamps", "Anys", "Masks",
		"Oneofs", "Alternatives", "Outer", "Old", "Email", "Hostname", "Address", "Uri", "UriRef",
		"IpLen", "IpPrefix", "HostAndPort", "PatternGroups", "PatternEvil", "PatternEvilSearch",
	};
	static struct schema *schema;
	char full[64];
	int n = snprintf(full, sizeof full, "rules.v1.%s", names[choice % ARRAY_LEN(names)]);

	if (schema == NULL)
		schema = load_set(RULES_SET);
	return schema_message(schema, full, (size_t)n);
}

static size_t count(const struct schema_message *m, struct bytes wire)
{
	struct fault_list faults = FAULT_LIST_INIT;
	int err = validate_message(m, wire, NULL, &faults);
	size_t n = faults.n + faults.n_dropped;

	if ((err < 0) != (n > 0))
		fuzz_fail("result and faults disagree", wire, wire);
	fault_list_deinit(&faults);
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct schema_message *m = choose(size ? data[0] : 0);
	struct bytes wire = {data + (size > 0), size - (size > 0)};
	size_t n = count(m, wire); /* whatever it is: no crash */
	AUTO_BUF merged = BUF_INIT;
	AUTO_BUF canonical = BUF_INIT;
	char why[600] = "";

	if (scan_message(m, wire, NULL, &merged, why, sizeof why) < 0)
		return 0;
	if (merged.len > 0 && count(m, buf_bytes(&merged)) != n)
		fuzz_fail("other rules after merging", wire, buf_bytes(&merged));
	if (transcode_normalize(m, wire, &canonical, why, sizeof why) == 0 &&
	    count(m, buf_bytes(&canonical)) != n)
		fuzz_fail("other rules in canonical form", wire, buf_bytes(&canonical));
	return 0;
}
