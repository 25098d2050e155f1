#include "base/uuid.h"

#include <pthread.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/digits.h"

/* Guards pool, used, last_ms: random bytes are fetched 4 KiB at a time, since
 * a system call per task would show in the accept rate. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint8_t pool[4096];
static size_t used = sizeof pool;

static void random_bytes(uint8_t *out, size_t n)
{
	pthread_mutex_lock(&lock);
	if (sizeof pool - used < n) {
		size_t got = 0;

		while (got < sizeof pool) {
			ssize_t r = getrandom(pool + got, sizeof pool - got, 0);

			if (r > 0)
				got += (size_t)r;
		}
		used = 0;
	}
	memcpy(out, pool + used, n);
	memset(pool + used, 0, n);
	used += n;
	pthread_mutex_unlock(&lock);
}

void uuid_new(struct uuid *out)
{
	uint64_t ms = (uint64_t)(clock_wall_us() / 1000);

	random_bytes(out->b + 6, 10);
	for (int i = 0; i < 6; i++)
		out->b[i] = (uint8_t)(ms >> (40 - 8 * i));
	out->b[6] = (uint8_t)(0x70 | (out->b[6] & 0x0f));
	out->b[8] = (uint8_t)(0x80 | (out->b[8] & 0x3f));
}

char *uuid_format(const struct uuid *u, char out[UUID_TEXT_SIZE])
{
	static const uint8_t groups[] = {4, 2, 2, 2, 6};
	const uint8_t *b = u->b;
	char *p = out;

	for (size_t i = 0; i < sizeof groups; b += groups[i++]) {
		p = hex_put(p, b, groups[i]);
		*p++ = '-';
	}
	p[-1] = '\0';
	return out;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool uuid_parse(const char *text, struct uuid *out)
{
	if (strlen(text) != UUID_TEXT_SIZE - 1)
		return false;
	for (int i = 0; i < 16; i++) {
		int hi, lo;

		if ((i == 4 || i == 6 || i == 8 || i == 10) && *text++ != '-')
			return false;
		hi = hex_digit(text[0]);
		lo = hex_digit(text[1]);
		if (hi < 0 || lo < 0)
			return false;
		out->b[i] = (uint8_t)(hi << 4 | lo);
		text += 2;
	}
	return true;
}
