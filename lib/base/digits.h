/* digits.h: numbers as text and back, for what is on every request's way: printf takes
 * longer than all else that is done there. Pure. */
#ifndef BASE_DIGITS_H
#define BASE_DIGITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DECIMAL_MAX = 20 }; /* digits of a uint64_t */

/* Each gives what is behind the digits; neither writes a NUL. */
char *decimal_put(char *to, uint64_t v);
/* Two lower-case ones for each of n bytes. */
char *hex_put(char *to, const uint8_t *from, size_t n);

/* n bytes of 2 n digits. False: something else is among them (upper case, too); `to` is then undefined. */
bool hex_read(const char *from, uint8_t *to, size_t n);

#endif
