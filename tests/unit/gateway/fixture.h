/* fixture.h: the schemas the units use (road.proto, clash.proto), read from the
 * descriptor sets protoc made at build time. */
#ifndef TESTS_UNIT_GATEWAY_FIXTURE_H
#define TESTS_UNIT_GATEWAY_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/buf.h"
#include "schema/route.h"

static inline void fixture_set(const char *name, struct buf *out)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof path, FIXTURE_DIR "/%s.pb", name);
	f = fopen(path, "rb");
	assert_non_null(f);
	buf_reserve(out, 1 << 20);
	out->len = fread(out->data, 1, 1 << 20, f);
	fclose(f);
	assert_true(out->len > 0);
}

static inline struct schema *fixture_schema(const char *name)
{
	AUTO_BUF set = BUF_INIT;
	struct schema *s = NULL;
	char why[256] = "";

	fixture_set(name, &set);
	if (schema_load(set.data, set.len, &s, why, sizeof why) < 0)
		fail_msg("%s", why);
	return s;
}

static inline struct route_table *fixture_routes(const struct schema *s)
{
	struct route_table *t = NULL;
	char why[256] = "";

	if (route_table_new(s, &t, why, sizeof why) < 0)
		fail_msg("%s", why);
	return t;
}

#endif
