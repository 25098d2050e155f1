/* conn_io.c: see conn_io.h. */
#define _GNU_SOURCE
#include "wire/conn_io.h"

#include <errno.h>
#include <sys/socket.h>

int conn_write(struct conn *c, int fd, uint64_t *sentp)
{
	struct iovec iov[2];
	struct msghdr m = {.msg_iov = iov};

	while ((m.msg_iovlen = (size_t)conn_output(c, iov)) > 0) {
		ssize_t n = sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN || errno == EWOULDBLOCK ? CONN_IO_FULL : CONN_IO_BROKEN;
		conn_sent(c, (size_t)n);
		if (sentp != NULL)
			*sentp += (uint64_t)n;
	}
	return 0;
}

int conn_read(struct conn *c, int fd, uint8_t *buf, size_t size, int n_reads)
{
	for (; n_reads > 0; n_reads--) {
		ssize_t n = recv(fd, buf, size, MSG_DONTWAIT);
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : CONN_IO_BROKEN;
		if (n == 0)
			return CONN_IO_EOF;
		r = conn_feed(c, buf, (size_t)n);
		if (r < 0 || (size_t)n < size)
			return r;
	}
	return 0;
}
