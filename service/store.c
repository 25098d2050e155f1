/* store.c: the kinds of store there are. */
#include "service/store.h"

#include <string.h>

#include "base/util.h"

static const struct store_ops *const kinds[] = {&store_memory, &store_sqlite};

const struct store_ops *store_kind(const char *spec, const char **argp)
{
	size_t len = strcspn(spec, ":");

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strlen(kinds[i]->name) == len && memcmp(kinds[i]->name, spec, len) == 0) {
			*argp = spec[len] == ':' ? spec + len + 1 : "";
			return kinds[i];
		}
	return NULL;
}
