/* fingerprint.h: tells two requests with the same Idempotency-Key apart: SHA-256 of the
 * method and what came with it. Any thread. */
#ifndef SERVICE_FINGERPRINT_H
#define SERVICE_FINGERPRINT_H

#include "base/buf.h"

#define FINGERPRINT_SIZE 32

/* The parts in their order; where one ends and the next begins counts, too. */
void fingerprint_make(const char *method, const struct bytes *parts, size_t n,
		      uint8_t out[FINGERPRINT_SIZE]);

#endif
