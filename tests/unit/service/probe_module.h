/* probe_module.h: a module whose methods behave as their names say, and a trace of
 * what they did. */
#ifndef TEST_PROBE_MODULE_H
#define TEST_PROBE_MODULE_H

#include "errand/service.h"
#include "probe.pb-c.h"

extern const struct errand_module probe_module;

/* Appends "word\n" to the trace; any thread. */
void probe_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The trace so far, malloc'd. */
char *probe_trace(void);
void probe_trace_clear(void);
/* Waits up to 5 s until the trace holds this text; 0 when it does. */
int probe_wait(const char *text);

#endif
