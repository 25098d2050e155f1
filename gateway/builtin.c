/* builtin.c: a table; each entry's file does the work. */
#include "gateway/builtin.h"

#include <string.h>

#include "errand/status.h"
#include "gateway/docs.h"
#include "gateway/health.h"
#include "gateway/metrics.h"
#include "gateway/openapi.h"
#include "gateway/problem.h"

static const struct builtin builtins[] = {
	{"/docs", docs_redirect, .docs = true},
	{"/docs/", docs_answer, .docs = true},
	{"/livez", health_live, .open = true},
	{"/metrics", metrics_answer},
	{"/openapi.json", openapi_answer, .docs = true},
	{"/readyz", health_ready, .open = true},
};

const struct builtin *builtin_at(size_t n)
{
	return n < ARRAY_LEN(builtins) ? &builtins[n] : NULL;
}

/* Asked of every request, most of which differ in the first letter. */
static bool path_matches(const char *builtin, const char *path)
{
	size_t len;

	if (path[0] != builtin[0] || path[1] != builtin[1])
		return false;
	len = strlen(builtin);
	return builtin[len - 1] == '/' ? strncmp(path, builtin, len) == 0 : strcmp(path, builtin) == 0;
}

const struct builtin *builtin_find(const char *path)
{
	for (size_t i = 0; i < ARRAY_LEN(builtins); i++)
		if (path_matches(builtins[i].path, path))
			return &builtins[i];
	return NULL;
}

bool builtin_handle(struct http_request *r, const struct gateway_thread *t)
{
	const struct builtin *b = builtin_find(http_path(r));

	if (b == NULL)
		return false;
	if (strcmp(http_verb(r), "GET") == 0) {
		b->answer(r, t);
		return true;
	}
	http_set_header(r, "Allow", "GET, HEAD");
	problem_reply(r, 405, ERRAND_UNIMPLEMENTED, "%s is read with GET", http_path(r));
	return true;
}
