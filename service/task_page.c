/* task_page.c: see task_page.h. base64url without padding (RFC 4648, 5) over 16
 * bytes of id and 4 bytes of FNV-1a over the filter; a token outlives the process. */
#include "service/task_page.h"

#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static uint32_t hash_text(uint32_t h, const char *text)
{
	for (const char *p = text ? text : ""; *p; p++)
		h = (h ^ (uint8_t)*p) * 16777619u;
	return (h ^ 0xff) * 16777619u; /* no byte of UTF-8: ends a member */
}

static void filter_mark(const struct store_filter *f, uint8_t out[4])
{
	uint32_t h = (2166136261u ^ (uint32_t)f->state) * 16777619u;

	h = hash_text(hash_text(h, f->method), f->queue);
	for (int i = 0; i < 4; i++)
		out[i] = (uint8_t)(h >> (8 * i));
}

char *task_page_token(const struct store_filter *f, const struct uuid *last,
		      char out[TASK_PAGE_TOKEN_SIZE])
{
	uint8_t raw[20];
	uint32_t bits = 0;
	char *p = out;
	int n = 0;

	memcpy(raw, last->b, 16);
	filter_mark(f, raw + 16);
	for (size_t i = 0; i < sizeof raw; i++)
		for (bits = bits << 8 | raw[i], n += 8; n >= 6; n -= 6)
			*p++ = alphabet[bits >> (n - 6) & 63];
	*p++ = alphabet[bits << (6 - n) & 63];
	*p = 0;
	return out;
}

static bool decode(const char *token, uint8_t raw[20])
{
	uint32_t bits = 0;
	size_t at = 0;
	int n = 0;

	if (strlen(token) != TASK_PAGE_TOKEN_SIZE - 1)
		return false;
	for (const char *p = token; *p; p++) {
		const char *digit = strchr(alphabet, *p);

		if (digit == NULL)
			return false;
		bits = bits << 6 | (uint32_t)(digit - alphabet);
		n += 6;
		if (n >= 8 && at < 20) {
			n -= 8;
			raw[at++] = (uint8_t)(bits >> n);
		}
	}
	return (bits & 3) == 0;
}

bool task_page_parse(const char *token, struct store_filter *f)
{
	uint8_t raw[20], mark[4];

	f->after_set = false;
	if (token == NULL || *token == 0)
		return true;
	filter_mark(f, mark);
	if (!decode(token, raw) || memcmp(raw + 16, mark, sizeof mark) != 0)
		return false;
	memcpy(f->after.b, raw, 16);
	f->after_set = true;
	return true;
}
