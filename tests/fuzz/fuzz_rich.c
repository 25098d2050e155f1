#include "fuzz_rich.h"

#include <stdio.h>
#include <stdlib.h>

#include "schema/scan.h"
#include "schema/transcode.h"
#include "tests/support/load.h"

#ifndef RICH_SET
#define RICH_SET "tests/unit/schema/rich.pb"
#endif

static struct schema *schema;
static struct route_table *table;

_Noreturn void fuzz_rich_fail(const char *what, const char *text)
{
	fprintf(stderr, "%s\n  %s\n", what, text);
	abort();
}

static void load(void)
{
	char why[300] = "";

	schema = load_set(RICH_SET);
	if (route_table_new(schema, &table, why, sizeof why) < 0)
		fuzz_rich_fail(RICH_SET, why);
}

const struct schema *fuzz_rich(void)
{
	if (schema == NULL)
		load();
	return schema;
}

const struct route_table *fuzz_routes(void)
{
	fuzz_rich();
	return table;
}

void fuzz_check_request(const struct route *r, struct bytes wire, const struct fault_list *faults)
{
	const struct transcode_write o = {.schema = schema};
	AUTO_BUF merged = BUF_INIT;
	AUTO_BUF json = BUF_INIT;
	char why[600] = "";

	for (size_t i = 0; i < faults->n; i++)
		if (*faults->items[i].rule == '\0' || *faults->items[i].detail == '\0')
			fuzz_rich_fail("a fault without words", faults->items[i].where);
	if (faults->n != 0)
		return;
	if (scan_message(r->method->input, wire, NULL, &merged, why, sizeof why) < 0 ||
	    transcode_to_json(&o, r->method->input, wire, &json, why, sizeof why) < 0)
		fuzz_rich_fail("taken, but no message", why);
}
