#include "base/err.h"

#include <stddef.h>
#include <string.h>

/* HTTP statuses as google/rpc/code.proto's comments map them. */
static const struct err_info table[] = {
	{ERRAND_OK, "OK", 200, "OK"},
	{ERRAND_CANCELLED, "CANCELLED", 499, "Client Closed Request"},
	{ERRAND_UNKNOWN, "UNKNOWN", 500, "Internal Server Error"},
	{ERRAND_INVALID_ARGUMENT, "INVALID_ARGUMENT", 400, "Bad Request"},
	{ERRAND_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", 504, "Gateway Timeout"},
	{ERRAND_NOT_FOUND, "NOT_FOUND", 404, "Not Found"},
	{ERRAND_ALREADY_EXISTS, "ALREADY_EXISTS", 409, "Conflict"},
	{ERRAND_PERMISSION_DENIED, "PERMISSION_DENIED", 403, "Forbidden"},
	{ERRAND_RESOURCE_EXHAUSTED, "RESOURCE_EXHAUSTED", 429, "Too Many Requests"},
	{ERRAND_FAILED_PRECONDITION, "FAILED_PRECONDITION", 400, "Bad Request"},
	{ERRAND_ABORTED, "ABORTED", 409, "Conflict"},
	{ERRAND_OUT_OF_RANGE, "OUT_OF_RANGE", 400, "Bad Request"},
	{ERRAND_UNIMPLEMENTED, "UNIMPLEMENTED", 501, "Not Implemented"},
	{ERRAND_INTERNAL, "INTERNAL", 500, "Internal Server Error"},
	{ERRAND_UNAVAILABLE, "UNAVAILABLE", 503, "Service Unavailable"},
	{ERRAND_DATA_LOSS, "DATA_LOSS", 500, "Internal Server Error"},
	{ERRAND_UNAUTHENTICATED, "UNAUTHENTICATED", 401, "Unauthorized"},
};

enum { N_CODES = sizeof table / sizeof *table };

static const struct {
	int status;
	const char *reason;
} reasons[] = {
	{100, "Continue"}, {200, "OK"}, {201, "Created"}, {202, "Accepted"},
	{204, "No Content"}, {304, "Not Modified"}, {308, "Permanent Redirect"},
	{400, "Bad Request"}, {401, "Unauthorized"}, {403, "Forbidden"}, {404, "Not Found"},
	{405, "Method Not Allowed"}, {406, "Not Acceptable"},
	{408, "Request Timeout"}, {409, "Conflict"}, {410, "Gone"},
	{411, "Length Required"}, {412, "Precondition Failed"},
	{413, "Content Too Large"}, {414, "URI Too Long"},
	{415, "Unsupported Media Type"}, {417, "Expectation Failed"},
	{421, "Misdirected Request"}, {422, "Unprocessable Content"},
	{424, "Failed Dependency"}, {426, "Upgrade Required"},
	{428, "Precondition Required"}, {429, "Too Many Requests"},
	{431, "Request Header Fields Too Large"}, {499, "Client Closed Request"},
	{500, "Internal Server Error"}, {501, "Not Implemented"},
	{502, "Bad Gateway"}, {503, "Service Unavailable"},
	{504, "Gateway Timeout"}, {505, "HTTP Version Not Supported"},
	{507, "Insufficient Storage"},
};

const struct err_info *err_info(int code)
{
	if (code < 0 || code >= N_CODES)
		code = ERRAND_UNKNOWN;
	return &table[code];
}

const char *err_http_reason(int status)
{
	for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Unknown";
}

int err_code_by_name(const char *name)
{
	for (int i = 0; i < N_CODES; i++)
		if (strcmp(table[i].name, name) == 0)
			return i;
	return -1;
}
