/* fuzz_cron: a line, and when it is due; bytes as a time zone.
 *
 * Input: 8 bytes a moment, then a cron line up to a NUL, then a TZif file; without
 * one, UTC. Checked: what is refused says why, a line that was read comes due, each
 * time is later than the one before, and the spans of a zone are without holes. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "service/civil.h"
#include "service/cron.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void walk_spans(const struct tz *z, int64_t t)
{
	struct tz_span span = tz_span(z, t);

	for (int i = 0; i < 20; i++) {
		check(span.begin <= t && t < span.end);
		check(tz_span(z, span.end - 1).offset == span.offset);
		if (span.end > 1LL << 40)
			return;
		t = span.end;
		span = tz_span(z, t);
		check(span.begin <= t);
	}
}

static void walk_times(const struct cron *c, const struct tz *z, int64_t t)
{
	for (int i = 0; i < 20; i++) {
		int64_t due = cron_next(c, z, t);

		check(due > t);
		if (due == CRON_NEVER) {
			check(t > civil_days(9998 - 400, 1, 1) * S_PER_DAY);
			return;
		}
		check(cron_next(c, z, due - 1) == due);
		t = due;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char line[CRON_MAX + 8], why[300] = "";
	struct tz *z = NULL;
	struct cron c;
	size_t len;
	int64_t t;

	if (size < sizeof t)
		return 0;
	memcpy(&t, data, sizeof t);
	t %= 1LL << 38; /* some 8700 years */
	data += sizeof t;
	size -= sizeof t;
	len = MIN(strnlen((const char *)data, size), sizeof line - 1);
	memcpy(line, data, len);
	line[len] = '\0';
	data += MIN(len + 1, size);
	size -= MIN(len + 1, size);
	if (size == 0)
		check(tz_load("UTC", &z, why, sizeof why) == 0);
	else if (tz_parse((struct bytes){data, size}, &z, why, sizeof why) < 0)
		check(z == NULL && why[0] != '\0');
	if (z != NULL)
		walk_spans(z, t);
	why[0] = '\0';
	if (cron_parse(line, &c, why, sizeof why) < 0)
		check(why[0] != '\0');
	else if (z != NULL)
		walk_times(&c, z, t);
	tz_free(z);
	return 0;
}
