/* uuid.h: UUIDv7 (RFC 9562), the id of a task: 48 bits of milliseconds, then 74
 * bits from getrandom, so that an id cannot be guessed. Thread-safe. */
#ifndef BASE_UUID_H
#define BASE_UUID_H

#include <stdbool.h>
#include <stdint.h>

#define UUID_TEXT_SIZE 37 /* with the NUL */

struct uuid {
	uint8_t b[16];
};

void uuid_new(struct uuid *out);
char *uuid_format(const struct uuid *u, char out[UUID_TEXT_SIZE]);
/* Lower or upper case, with hyphens at their places; false for other text. */
bool uuid_parse(const char *text, struct uuid *out);

#endif
