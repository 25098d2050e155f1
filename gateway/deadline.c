/* See deadline.h. */
#define _GNU_SOURCE
#include "gateway/deadline.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

/* Seconds with a fraction: "1.5". */
static bool seconds_parse(const char *text, int64_t *out)
{
	int64_t whole = 0, fraction = 0, scale = NS_PER_S;
	size_t n = strspn(text, "0123456789");

	if (n == 0 || n > 9)
		return false;
	whole = strtoll(text, NULL, 10);
	if (text[n] == '.') {
		for (text += n + 1, n = 0; isdigit((unsigned char)text[n]); n++) {
			scale /= 10;
			fraction += (text[n] - '0') * scale;
		}
		if (n == 0)
			return false;
	}
	*out = whole * NS_PER_S + fraction;
	return text[n] == '\0';
}

/* Connect-Timeout-Ms: at most 10 digits. */
static bool milliseconds_parse(const char *text, int64_t *out)
{
	size_t n = strspn(text, "0123456789");

	if (n == 0 || n > 10 || text[n] != '\0')
		return false;
	*out = strtoll(text, NULL, 10) * NS_PER_MS;
	return true;
}

/* Grpc-Timeout: at most 8 digits and a unit. */
static bool grpc_parse(const char *text, int64_t *out)
{
	static const char units[] = "HMSmun";
	static const int64_t ns[] = {3600 * NS_PER_S, 60 * NS_PER_S, NS_PER_S, NS_PER_MS, 1000, 1};
	size_t n = strspn(text, "0123456789");
	const char *unit;

	if (n == 0 || n > 8 || text[n] == '\0' || text[n + 1] != '\0')
		return false;
	unit = strchr(units, text[n]);
	if (unit == NULL)
		return false;
	*out = strtoll(text, NULL, 10);
	if (*out > INT64_MAX / ns[unit - units])
		*out = INT64_MAX;
	else
		*out *= ns[unit - units];
	return true;
}

static const struct {
	const char *name, *advice;
	bool (*parse)(const char *text, int64_t *out);
} deadlines[] = {
	{"X-Server-Timeout", "takes seconds: 2.5", seconds_parse},
	{"Connect-Timeout-Ms", "takes milliseconds, at most 10 digits", milliseconds_parse},
	{"Grpc-Timeout", "takes at most 8 digits and one of H M S m u n: 500m", grpc_parse},
};

/* Of a stream there is no most: a century is as good, and a sum with the clock holds. */
static const int64_t EVER_NS = INT64_C(36525) * 24 * 3600 * NS_PER_S;

int64_t deadline_read(const struct request_source *src, int64_t max, struct fault_list *faults)
{
	int64_t least = 0, ns;

	for (size_t i = 0; i < ARRAY_LEN(deadlines); i++) {
		const char *text = headers_get(src, deadlines[i].name);

		if (text == NULL)
			continue;
		if (!deadlines[i].parse(text, &ns) || ns <= 0)
			headers_fault(faults, deadlines[i].name, text, deadlines[i].advice);
		else if (least == 0 || ns < least)
			least = ns;
	}
	return MIN(least, MIN(max, EVER_NS));
}
