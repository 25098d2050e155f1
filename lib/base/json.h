/* json.h: writes JSON text into a struct buf: what the transcoder, problems, the
 * access log and the CLI share. Reading JSON is schema/'s. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

/* "..." with RFC 8259's escapes; bytes that are not UTF-8 become U+FFFD, so the
 * output is always valid. */
void json_put_string(struct buf *b, const char *s, size_t len);
void json_put_cstr(struct buf *b, const char *s);
void json_put_int(struct buf *b, int64_t v);
void json_put_uint(struct buf *b, uint64_t v);
/* Shortest text that reads back as the same number; "NaN", "Infinity" and
 * "-Infinity" quoted, as ProtoJSON has them. */
void json_put_double(struct buf *b, double v);
void json_put_float(struct buf *b, float v);

/* Length of the valid UTF-8 prefix of s; len when all of it is valid. No
 * surrogates, no overlong forms, nothing above U+10FFFF. */
size_t json_utf8_valid(const uint8_t *s, size_t len);

#endif
