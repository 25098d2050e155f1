/* task_page.c: see task_page.h. base64url without padding (RFC 4648, 5) over two
 * numbers, 16 bytes of id and 4 bytes of FNV-1a over filter and order; a token outlives
 * the process. */
#include "service/task_page.h"

#include <string.h>

#define RAW_SIZE 36

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void query_mark(const struct task_query *q, uint8_t out[4])
{
	AUTO_BUF text = BUF_INIT;
	uint32_t h = 2166136261u;

	buf_append_byte(&text, (uint8_t)(q->order * 2 + q->desc));
	task_filter_print(q->filter, &text);
	for (size_t i = 0; i < text.len; i++)
		h = (h ^ text.data[i]) * 16777619u;
	for (int i = 0; i < 4; i++)
		out[i] = (uint8_t)(h >> (8 * i));
}

static void put_number(uint8_t *out, int64_t n)
{
	for (int i = 0; i < 8; i++)
		out[i] = (uint8_t)((uint64_t)n >> (8 * i));
}

static int64_t get_number(const uint8_t *raw)
{
	uint64_t n = 0;

	for (int i = 0; i < 8; i++)
		n |= (uint64_t)raw[i] << (8 * i);
	return (int64_t)n;
}

char *task_page_token(const struct task_query *q, const struct store_place *last,
		      char out[TASK_PAGE_TOKEN_SIZE])
{
	uint8_t raw[RAW_SIZE];
	char *p = out;

	put_number(raw, last->major);
	put_number(raw + 8, last->minor);
	memcpy(raw + 16, last->id.b, 16);
	query_mark(q, raw + 32);
	for (size_t i = 0; i < RAW_SIZE; i += 3) {
		uint32_t bits = (uint32_t)raw[i] << 16 | (uint32_t)raw[i + 1] << 8 | raw[i + 2];

		for (int shift = 18; shift >= 0; shift -= 6)
			*p++ = alphabet[bits >> shift & 63];
	}
	*p = 0;
	return out;
}

static bool decode(const char *token, uint8_t raw[RAW_SIZE])
{
	if (strlen(token) != TASK_PAGE_TOKEN_SIZE - 1)
		return false;
	for (size_t at = 0; at < RAW_SIZE; at += 3, token += 4) {
		uint32_t bits = 0;

		for (int i = 0; i < 4; i++) {
			const char *digit = strchr(alphabet, token[i]);

			if (digit == NULL)
				return false;
			bits = bits << 6 | (uint32_t)(digit - alphabet);
		}
		raw[at] = (uint8_t)(bits >> 16);
		raw[at + 1] = (uint8_t)(bits >> 8);
		raw[at + 2] = (uint8_t)bits;
	}
	return true;
}

bool task_page_parse(const char *token, struct task_query *q)
{
	uint8_t raw[RAW_SIZE], mark[4];

	q->after_set = false;
	if (token == NULL || *token == 0)
		return true;
	query_mark(q, mark);
	if (!decode(token, raw) || memcmp(raw + 32, mark, sizeof mark) != 0)
		return false;
	q->after.major = get_number(raw);
	q->after.minor = get_number(raw + 8);
	memcpy(q->after.id.b, raw + 16, 16);
	q->after_set = true;
	return true;
}
