/* errand/status.h: the status of a call.
 *
 * The numbers are google.rpc.Code's (googleapis, google/rpc/code.proto), which
 * ttrpc carries in Response.status.code. docs/PROTOCOL.md lists them with the
 * HTTP status each becomes at the gateway.
 */
#ifndef ERRAND_STATUS_H
#define ERRAND_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

enum errand_code {
	ERRAND_OK = 0,
	ERRAND_CANCELLED = 1,
	ERRAND_UNKNOWN = 2,
	ERRAND_INVALID_ARGUMENT = 3,
	ERRAND_DEADLINE_EXCEEDED = 4,
	ERRAND_NOT_FOUND = 5,
	ERRAND_ALREADY_EXISTS = 6,
	ERRAND_PERMISSION_DENIED = 7,
	ERRAND_RESOURCE_EXHAUSTED = 8,
	ERRAND_FAILED_PRECONDITION = 9,
	ERRAND_ABORTED = 10,
	ERRAND_OUT_OF_RANGE = 11,
	ERRAND_UNIMPLEMENTED = 12,
	ERRAND_INTERNAL = 13,
	ERRAND_UNAVAILABLE = 14,
	ERRAND_DATA_LOSS = 15,
	ERRAND_UNAUTHENTICATED = 16,
};

#ifdef __cplusplus
}
#endif
#endif
