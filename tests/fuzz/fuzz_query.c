/* fuzz_query.c: any text as the query of a route of rich.proto, which the first byte
 * chooses. What is taken is a message; what was told of it is what was taken. */
#include <stdlib.h>

#include "fuzz_rich.h"
#include "schema/query.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_bound(const struct query_binding *b, void *arg)
{
	size_t *n = arg;

	if (b->depth == 0 || b->depth > TEMPLATE_PATH_MAX)
		fuzz_rich_fail("bound to no field", "");
	(*n)++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fault_list faults = FAULT_LIST_INIT;
	const struct route *r;
	AUTO_FREE char *text = NULL;
	AUTO_BUF wire = BUF_INIT;
	AUTO_BUF again = BUF_INIT;
	size_t n = 0, n_routes = 0;
	int rc;

	if (size == 0)
		return 0;
	while (route_at(fuzz_routes(), n_routes) != NULL)
		n_routes++;
	r = route_at(fuzz_routes(), data[0] % n_routes);
	text = xstrndup((const char *)data + 1, size - 1);
	rc = query_bind_to_wire(r, text, &wire, &faults, on_bound, &n);
	if ((rc < 0) != (faults.n != 0))
		fuzz_rich_fail("refused without a fault", text);
	fuzz_check_request(r, buf_bytes(&wire), &faults);
	if (rc == 0 && wire.len != 0 && n == 0)
		fuzz_rich_fail("taken, but not told", text);
	fault_list_deinit(&faults);
	faults = FAULT_LIST_INIT;
	if (query_to_wire(r, text, &again, &faults) != rc || again.len != wire.len)
		fuzz_rich_fail("not the same again", text);
	fault_list_deinit(&faults);
	return 0;
}
