/* route_claims.c: see route_claims.h. */
#include "schema/route_claims.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"

const char *const route_claims_gateway[] = {
	"/docs", "/docs/", "/livez", "/metrics", "/openapi.json", "/readyz", NULL,
};

static bool is_own(const struct schema_method *m)
{
	return strncmp(m->service->name, "errand.v1.", 10) == 0;
}

static int refuse_claim(const struct route *r, const char *path, const char *owner, char *why, size_t why_size)
{
	snprintf(why, why_size, "%s: %s is under %s, which is %s: change the path", r->method->full_name,
		 r->http != NULL ? r->http->path : r->method->full_name, path, owner);
	return -ERRAND_INVALID_ARGUMENT;
}

/* What errand.v1 has below "/v1/tasks" (of /v1/tasks/{id}) is its own. */
static int check_claim_of(const struct route *mine, const struct route *r, char *why, size_t why_size)
{
	char prefix[256];
	const char *path = mine->http != NULL ? mine->http->path : "";
	size_t len = strcspn(path, "{*:");

	while (len > 0 && path[len] != '\0' && path[len] != '/' && path[len] != ':')
		len--;
	if (memchr(path + (len > 0), '/', len > 0 ? len - 1 : 0) == NULL || len + 2 > sizeof prefix)
		return 0;
	snprintf(prefix, sizeof prefix, "%.*s/", (int)len, path);
	return route_is_below(r, prefix) ?
		refuse_claim(r, prefix, mine->method->service->name, why, why_size) : 0;
}

static int check_claim(const struct route_table *t, const struct route *r, char *why, size_t why_size)
{
	const struct route *mine;

	for (const char *const *path = route_claims_gateway; *path != NULL; path++)
		if (route_is_below(r, *path))
			return refuse_claim(r, *path, "the gateway's own", why, why_size);
	for (size_t i = 0; !is_own(r->method) && (mine = route_at(t, i)) != NULL; i++)
		if (is_own(mine->method) && check_claim_of(mine, r, why, why_size) < 0)
			return -ERRAND_INVALID_ARGUMENT;
	return 0;
}

int route_claims_check(const struct route_table *t, char *why, size_t why_size)
{
	const struct route *r;

	for (size_t i = 0; (r = route_at(t, i)) != NULL; i++)
		if (check_claim(t, r, why, why_size) < 0)
			return -ERRAND_INVALID_ARGUMENT;
	return 0;
}

int route_claims_check_schema(const struct schema *s, char *why, size_t why_size)
{
	struct route_table *t = NULL;
	int r = route_table_new(s, &t, why, why_size);

	if (r == 0)
		r = route_claims_check(t, why, why_size);
	route_table_free(t);
	return r;
}
