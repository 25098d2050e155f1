#include "config.h"
#include "tests/bench/rival.h"

#ifdef HAVE_JANSSON
#include <jansson.h>
#include <stdlib.h>

void rival_jansson_parse(const char *json, size_t len)
{
	json_decref(json_loadb(json, len, 0, NULL));
}

void rival_jansson_both(const char *json, size_t len)
{
	json_t *v = json_loadb(json, len, 0, NULL);

	free(json_dumps(v, JSON_COMPACT));
	json_decref(v);
}
#endif
