#include "config.h"
#include "tests/bench/rival.h"

#ifdef HAVE_JSON_C
#include <json-c/json.h>

void rival_json_c_parse(const char *json)
{
	json_object_put(json_tokener_parse(json));
}

void rival_json_c_both(const char *json)
{
	json_object *v = json_tokener_parse(json);

	json_object_to_json_string_ext(v, JSON_C_TO_STRING_PLAIN);
	json_object_put(v);
}
#endif
