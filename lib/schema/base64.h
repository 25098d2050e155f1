/* base64.h: RFC 4648, both alphabets in, the standard one out. */
#ifndef SCHEMA_BASE64_H
#define SCHEMA_BASE64_H

#include <stdbool.h>

#include "base/buf.h"

/* Appends the bytes; with or without padding. False when text is not base64. */
bool base64_decode(struct buf *out, struct bytes text);
/* Appends the text, padded, without quotes. */
void base64_encode(struct buf *out, struct bytes data);

#endif
