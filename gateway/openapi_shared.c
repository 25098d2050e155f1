/* openapi_shared.c: the components that every document has: problems (problem.c), the
 * answers that carry one, headers. Text as it is. Pure. */
#include "gateway/openapi_private.h"

/* problem.proto, and what problem.c and RFC 9457 say of each member. */
static const char problem[] =
	"\"type\":\"object\","
	"\"description\":\"Problem details (RFC 9457): every error.\","
	"\"properties\":{"
	"\"type\":{\"type\":\"string\",\"description\":\"A URI reference; about:blank when the status says it "
		"all.\"},"
	"\"title\":{\"type\":\"string\"},"
	"\"status\":{\"type\":\"integer\",\"format\":\"int32\",\"description\":\"The HTTP status.\"},"
	"\"detail\":{\"type\":\"string\",\"description\":\"What went wrong this time.\"},"
	"\"instance\":{\"type\":\"string\",\"description\":\"The path of the request.\"},"
	"\"code\":{\"type\":\"string\",\"description\":\"The RPC status: NOT_FOUND, INVALID_ARGUMENT, ...\"},"
	"\"errors\":{\"type\":\"array\",\"description\":\"All faults of the request.\",\"items\":{\"$ref\":"
		"\"#/components/schemas/" OPENAPI_VIOLATION "\"}},"
	"\"final\":{\"type\":\"boolean\",\"description\":\"Of a task: it is not tried again.\"},"
	"\"retry_after\":{\"type\":\"number\",\"format\":\"double\",\"description\":\"Seconds.\"}}";

static const char violation[] =
	"\"type\":\"object\","
	"\"description\":\"One fault of a request: its place, the rule that it breaks, what was there.\","
	"\"properties\":{"
	"\"pointer\":{\"type\":\"string\",\"description\":\"A JSON Pointer into the body: #/note/title\"},"
	"\"parameter\":{\"type\":\"string\",\"description\":\"Of the path or the query.\"},"
	"\"header\":{\"type\":\"string\"},"
	"\"rule\":{\"type\":\"string\",\"description\":\"type, required, string.min_len, ...\"},"
	"\"detail\":{\"type\":\"string\"},"
	"\"value\":{\"type\":\"string\",\"description\":\"What was there, shortened.\"}}";

static const char stream_error[] =
	"\"type\":\"object\","
	"\"description\":\"The last element of a stream that failed.\","
	"\"required\":[\"@error\"],"
	"\"properties\":{\"@error\":{\"$ref\":\"#/components/schemas/" OPENAPI_PROBLEM "\"}}";

/* None has an example: Swagger UI would send it. */
static const char parameters[] =
	"{\"Prefer\":{\"name\":\"Prefer\",\"in\":\"header\",\"description\":\"`wait=N`: answer when the "
	"task has ended, at the latest after N seconds.\",\"schema\":{\"type\":\"string\"}},"
	"\"IdempotencyKey\":{\"name\":\"Idempotency-Key\",\"in\":\"header\",\"description\":\"The same key and "
	"request again are answered with the same task, for 24 hours.\",\"schema\":{\"type\":\"string\","
	"\"minLength\":1,\"maxLength\":255}},"
	"\"IfMatch\":{\"name\":\"If-Match\",\"in\":\"header\",\"required\":true,\"description\":\"The ETag of "
	"what is to be changed, or `*` for whatever there is.\",\"schema\":{\"type\":\"string\"}},"
	"\"ServerTimeout\":{\"name\":\"X-Server-Timeout\",\"in\":\"header\",\"description\":\"The deadline of "
	"the call in seconds; 504 when it passes.\",\"schema\":{\"type\":\"number\",\"exclusiveMinimum\":0}},"
	"\"LastEventId\":{\"name\":\"Last-Event-ID\",\"in\":\"header\",\"description\":\"Of the last event "
	"that was seen: the stream goes on behind it.\",\"schema\":{\"type\":\"string\"}}}";

static const char headers[] =
	"{\"Location\":{\"description\":\"Where the task is.\",\"schema\":{\"type\":\"string\","
	"\"format\":\"uri-reference\"}},"
	"\"RetryAfter\":{\"description\":\"Seconds to wait before asking again.\",\"schema\":"
	"{\"type\":\"integer\",\"minimum\":0}}}";

static const struct {
	const char *name, *description;
	bool retry, secured; /* has Retry-After; is of who asks for credentials */
} responses[] = {
	{"BadRequest", "The request is malformed: its syntax, or a parameter given twice."},
	{"Unauthorized", "No credentials, or wrong ones.", .secured = true},
	{"Forbidden", "The client lacks the scope.", .secured = true},
	{"NotFound", "What the path names is not there."},
	{"UnsupportedMediaType", "The body is not JSON."},
	{"UnprocessableContent", "The request breaks the schema or its rules: `errors` has all faults."},
	{"TooManyRequests", "Too much at once: again after Retry-After.", .retry = true},
	{"InternalServerError", "The method failed."},
	{"ServiceUnavailable", "The service is away for a moment: again after Retry-After.", .retry = true},
	{"GatewayTimeout", "The deadline of the call passed."},
	{"Problem", "Any other error."},
};

static void put_response(struct openapi *o, size_t i)
{
	openapi_open(o, responses[i].name, '{');
	openapi_string(o, "description", responses[i].description);
	if (responses[i].retry)
		openapi_raw(o, "headers", "{\"Retry-After\":{\"$ref\":\"#/components/headers/RetryAfter\"}}");
	openapi_raw(o, "content", "{\"application/problem+json\":{\"schema\":{\"$ref\":\"#/components/schemas/"
		    OPENAPI_PROBLEM "\"}}}");
	openapi_close(o, '}');
}

void openapi_shared_schema(struct openapi *o, const char *name)
{
	if (strcmp(name, OPENAPI_PROBLEM) == 0)
		openapi_raw(o, NULL, problem);
	else if (strcmp(name, OPENAPI_VIOLATION) == 0)
		openapi_raw(o, NULL, violation);
	else
		openapi_raw(o, NULL, stream_error);
}

void openapi_shared(struct openapi *o)
{
	openapi_raw(o, "parameters", parameters);
	openapi_raw(o, "headers", headers);
	openapi_open(o, "responses", '{');
	for (size_t i = 0; i < ARRAY_LEN(responses); i++)
		if (!responses[i].secured || o->info->secured)
			put_response(o, i);
	openapi_close(o, '}');
}
