/* number.h: decimal text as JSON has it, to integers (exactly) and to doubles
 * (correctly rounded). Pure functions; any thread. */
#ifndef SCHEMA_NUMBER_H
#define SCHEMA_NUMBER_H

#include "base/util.h"

#include <stdbool.h>

/* mant x 10^exp10; when lossy mant did not fit and only `text` is exact, and
 * exp10 belongs to the last digit that is not zero. */
struct number {
	bool negative, lossy;
	uint64_t mant;
	int64_t exp10;
	struct bytes text; /* borrowed */
};

enum number_result { NUMBER_OK = 0, NUMBER_NOT_INTEGER, NUMBER_OUT_OF_RANGE };

/* RFC 8259's number at p: its end, or NULL when there is none. */
const uint8_t *number_scan(const uint8_t *p, const uint8_t *end, struct number *n);

enum number_result number_to_int(const struct number *n, int64_t min, int64_t max, int64_t *out);
enum number_result number_to_uint(const struct number *n, uint64_t max, uint64_t *out);
/* NUMBER_OUT_OF_RANGE when it would be infinite. */
enum number_result number_to_double(const struct number *n, double *out);
enum number_result number_to_float(const struct number *n, float *out);

#endif
