/* wire_server SOCKET: peer.h's server for clients in other programs; prints "ready"
 * when it listens and ends when its standard input does. A thread a connection. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer.h"

static void *serve(void *arg)
{
	peer_serve((int)(intptr_t)arg);
	return NULL;
}

static void *accept_all(void *arg)
{
	int fd;

	while ((fd = accept((int)(intptr_t)arg, NULL, NULL)) >= 0) {
		pthread_t t;

		if (pthread_create(&t, NULL, serve, (void *)(intptr_t)fd) != 0)
			abort();
		pthread_detach(t);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t t;
	char c;
	int fd = argc == 2 ? peer_listen(argv[1]) : -1;

	if (fd < 0) {
		fprintf(stderr, "usage: wire_server SOCKET (that is not there yet)\n");
		return 1;
	}
	if (pthread_create(&t, NULL, accept_all, (void *)(intptr_t)fd) != 0)
		return 1;
	printf("ready\n");
	fflush(stdout);
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
	unlink(argv[1]);
	_exit(0); /* the threads may still serve */
}
