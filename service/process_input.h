/* process_input.h: what a child reads: a sealed file of memory. It needs nobody to pump
 * it, cannot block, and the child may seek in it; nobody can change it. */
#ifndef SERVICE_PROCESS_INPUT_H
#define SERVICE_PROCESS_INPUT_H

#include <stddef.h>

/* Any thread. A descriptor that is read from the beginning, the caller's to close; or -errno. */
int input_open(const void *data, size_t len);

#endif
