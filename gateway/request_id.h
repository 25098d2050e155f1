/* request_id.h: x-request-id, by which one request is found in the logs of all it went
 * through. One that came with the request is kept; else one is made: 16 hexadecimal
 * digits. It is for logs: nothing hangs on it. */
#ifndef GATEWAY_REQUEST_ID_H
#define GATEWAY_REQUEST_ID_H

#include <stdbool.h>
#include <stdint.h>

enum { REQUEST_ID_MAX = 128 };

/* A generator's state; one per thread. */
void request_id_init(uint64_t ids[2]);
/* Printable ASCII without spaces, at most REQUEST_ID_MAX. */
bool request_id_is_good(const char *id);
/* The next random number. */
uint64_t request_id_random(uint64_t ids[2]);
void request_id_make(uint64_t ids[2], char out[17]);

#endif
