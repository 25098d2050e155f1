/* process_input.c: see process_input.h. */
#define _GNU_SOURCE
#include "service/process_input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/util.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U /* Linux 6.3 */
#endif

static int file_new(void)
{
	int fd = memfd_create("input", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

	return fd < 0 && errno == EINVAL ? memfd_create("input", MFD_CLOEXEC | MFD_ALLOW_SEALING) : fd;
}

static int file_write(int fd, const uint8_t *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

int input_open(const void *data, size_t len)
{
	AUTO_CLOSE int fd = file_new();
	int out, rc;

	if (fd < 0)
		return -errno;
	rc = file_write(fd, data, len);
	if (rc < 0)
		return rc;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0 ||
	    lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	out = fd;
	fd = -1;
	return out;
}
