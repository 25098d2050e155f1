/* rival.h: other libraries at the same work, each in a file of its own since their
 * headers exclude each other. Parse; or parse and print, without spaces. */
#ifndef BENCH_RIVAL_H
#define BENCH_RIVAL_H

#include <stddef.h>

void rival_jansson_parse(const char *json, size_t len);
void rival_jansson_both(const char *json, size_t len);
void rival_json_c_parse(const char *json);
void rival_json_c_both(const char *json);

#endif
