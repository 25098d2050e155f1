/* fuzz_route.c: "VERB /path" against the routes of rich.proto. A match's values lie
 * in the path and make a message or faults; a HEAD finds what a GET finds, unless a
 * route has HEAD for its own; what 405 allows is there. */
#include <stdlib.h>

#include "base/err.h"
#include "fuzz_rich.h"
#include "schema/variables.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_match(const struct route_match *m, const char *path)
{
	const uint8_t *begin = (const uint8_t *)path, *end = begin + strlen(path);
	struct fault_list faults = FAULT_LIST_INIT;
	AUTO_BUF wire = BUF_INIT;

	for (size_t i = 0; m->route->template != NULL && i < m->route->template->n_variables; i++) {
		struct bytes v = m->values[i];

		if (v.len != 0 && (v.data < begin || v.data + v.len > end))
			fuzz_rich_fail("a value outside of the path", path);
	}
	variables_to_wire(m, &wire, &faults);
	fuzz_check_request(m->route, buf_bytes(&wire), &faults);
	fault_list_deinit(&faults);
}

static void check_allow(struct buf *allow, const char *path)
{
	char *save = NULL;

	for (char *verb = strtok_r((char *)allow->data, ", ", &save); verb != NULL;
	     verb = strtok_r(NULL, ", ", &save)) {
		struct route_match m;
		AUTO_BUF none = BUF_INIT;

		if (strcmp(verb, "OPTIONS") != 0 && route_find(fuzz_routes(), verb, path, &m, &none) < 0)
			fuzz_rich_fail("an allowed method that is not", path);
	}
}

static void check_head(const struct route *get, const char *path)
{
	struct route_match m;
	AUTO_BUF none = BUF_INIT;

	if (route_find(fuzz_routes(), "HEAD", path, &m, &none) < 0)
		fuzz_rich_fail("GET without HEAD", path);
	if (m.route != get && strcmp(m.route->http->verb, "HEAD") != 0)
		fuzz_rich_fail("HEAD goes elsewhere", path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_FREE char *text = xstrndup((const char *)data, size);
	char *path = strchr(text, ' ');
	struct route_match m;
	AUTO_BUF allow = BUF_INIT;
	int r;

	if (path == NULL)
		return 0;
	*path++ = '\0';
	r = route_find(fuzz_routes(), text, path, &m, &allow);
	if (r == 0)
		check_match(&m, path);
	if (r == 0 && strcmp(text, "GET") == 0)
		check_head(m.route, path);
	if (r == -ERRAND_UNIMPLEMENTED) {
		buf_cstr(&allow);
		check_allow(&allow, path);
	}
	return 0;
}
