/* call_ids.c: see call_ids.h. Any thread: nothing changes after call_start. */
#define _GNU_SOURCE
#include "service/call_ids.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/trace.h"
#include "service/call_impl.h"

static const char *const origin[CALL_ORIGIN_MAX] = {"x-request-id", "traceparent", "tracestate",
						    "errand-identity"};

const char *errand_request_id(const struct errand_call *call)
{
	return errand_metadata(call, "x-request-id");
}

const char *errand_traceparent(const struct errand_call *call)
{
	const char *text = errand_metadata(call, "traceparent");

	return trace_is_good(text) ? text : NULL;
}

void call_ids_init(struct errand_call *call)
{
	call->begun_ns = clock_mono_ns();
	call->ids = (struct log_ids){
		.request = errand_request_id(call),
		.task = call->task_id,
		.traceparent = errand_metadata(call, "traceparent"),
		.attempt = call->attempt,
	};
}

const struct log_ids *call_ids(const struct errand_call *call)
{
	return &call->ids;
}

static struct bytes text(const char *s)
{
	return (struct bytes){(const uint8_t *)s, strlen(s)};
}

/* Who asks is not always said by metadata: users of the socket are known by their number. */
static const char *origin_of(const struct errand_call *call, const char *key)
{
	const char *who = errand_identity(call);

	if (strcmp(key, "errand-identity") != 0)
		return errand_metadata(call, key);
	return *who != '\0' ? who : NULL;
}

size_t call_origin(const struct errand_call *call, struct wire_pair pairs[CALL_ORIGIN_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < CALL_ORIGIN_MAX; i++) {
		const char *value = origin_of(call, origin[i]);

		if (value != NULL)
			pairs[n++] = (struct wire_pair){text(origin[i]), text(value)};
	}
	return n;
}

static bool has_name(const char *const *env, const char *name)
{
	size_t len = strlen(name);

	for (; *env != NULL; env++)
		if (strncmp(*env, name, len) == 0 && (*env)[len] == '=')
			return true;
	return false;
}

void call_env_init(struct call_env *e, const struct errand_call *call, const char *const *base)
{
	const struct {
		const char *name, *value;
	} all[] = {
		{"TRACEPARENT", errand_traceparent(call)},
		{"ERRAND_TASK_ID", errand_task_id(call)},
		{"ERRAND_REQUEST_ID", errand_request_id(call)},
	};
	size_t n = 0;

	while (base[n] != NULL)
		n++;
	*e = (struct call_env){.list = xcalloc(n + ARRAY_LEN(all) + 1, sizeof *e->list), .first_own = n};
	memcpy(e->list, base, n * sizeof *base);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (all[i].value != NULL && !has_name(base, all[i].name))
			e->list[n + e->n_own++] = xasprintf("%s=%s", all[i].name, all[i].value);
}

void call_env_deinit(struct call_env *e)
{
	for (size_t i = 0; i < e->n_own; i++)
		free((char *)e->list[e->first_own + i]);
	free(e->list);
}
