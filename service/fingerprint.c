/* fingerprint.c: see fingerprint.h. Without EVP, whose providers cost megabytes. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "service/fingerprint.h"

#include <openssl/sha.h>
#include <string.h>

static void add(SHA256_CTX *c, struct bytes part)
{
	uint64_t len = part.len;

	SHA256_Update(c, &len, sizeof len);
	if (part.len > 0)
		SHA256_Update(c, part.data, part.len);
}

void fingerprint_make(const char *method, const struct bytes *parts, size_t n,
		      uint8_t out[FINGERPRINT_SIZE])
{
	SHA256_CTX c;

	SHA256_Init(&c);
	add(&c, (struct bytes){(const uint8_t *)method, strlen(method)});
	for (size_t i = 0; i < n; i++)
		add(&c, parts[i]);
	SHA256_Final(out, &c);
}
