/* See request_id.h. splitmix64 over a random start, mixed with a random word. */
#define _GNU_SOURCE
#include "gateway/request_id.h"

#include <stddef.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/digits.h"

void request_id_init(uint64_t ids[2])
{
	if (getrandom(ids, 2 * sizeof ids[0], GRND_NONBLOCK) != 2 * sizeof ids[0])
		ids[0] ^= (uint64_t)clock_mono_ns() ^ (uintptr_t)ids;
}

bool request_id_is_good(const char *id)
{
	size_t n = 0;

	for (; id[n] != '\0'; n++)
		if (id[n] <= ' ' || id[n] > '~' || n == REQUEST_ID_MAX)
			return false;
	return n != 0;
}

uint64_t request_id_random(uint64_t ids[2])
{
	uint64_t z = ids[0] += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (z ^ z >> 31) ^ ids[1];
}

void request_id_make(uint64_t ids[2], char out[17])
{
	uint64_t z = request_id_random(ids);

	*hex_put(out, (const uint8_t *)&z, sizeof z) = '\0';
}
