/* listen.h: where the gateway listens: what --listen says, the sockets made of it, and
 * which of them may be open to others.
 *
 *   HOST:PORT  [V6]:PORT          TCP; each thread has a socket of its own (SO_REUSEPORT)
 *   unix:PATH[,mode=M][,group=G]  a UNIX socket, made as sock.h says; threads share it
 *   systemd:NAME                  sockets given at the start (activation.h); threads share them
 *   tls:HOST:PORT  tls:systemd:NAME    the same, with TLS
 *
 * None: all that were given at the start, else LISTEN_DEFAULT. Main thread. */
#ifndef GATEWAY_LISTEN_H
#define GATEWAY_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/opt.h"

#define LISTEN_DEFAULT "127.0.0.1:8080"
enum { LISTEN_MAX = 32, LISTEN_UNIX_MODE = 0660 };

enum listen_kind { LISTEN_TCP, LISTEN_UNIX, LISTEN_GIVEN };

struct listener {
	enum listen_kind kind;
	bool tls;
	char *text;     /* as it was given; owned */
	char *address;  /* of it, HOST:PORT, a path or a name; owned */
	mode_t mode;    /* UNIX */
	gid_t gid;      /* UNIX; -1: as it comes */
	int fd;         /* GIVEN always, others once open; owned; -1 */
	int lock;       /* UNIX, once open; owned; -1 */
	bool shared;    /* threads use duplicates of fd; else each makes its own */
	char name[128]; /* of GIVEN and of what is open: as bound */
};

struct listen_set {
	struct listener items[LISTEN_MAX];
	size_t n;
};

/* Reads what was given; nothing is opened. 0, or -1 with the reason in why. The set is to be
 * freed in either case. */
int listen_read(struct listen_set *set, const struct opt_list *given, char *why, size_t size);
/* Closes all; UNIX sockets lose their names. */
void listen_deinit_set(struct listen_set *set);
bool listen_has_tls(const struct listen_set *set);
/* Can others than this machine reach it? */
bool listen_is_open(const struct listener *l);
/* Addresses of TCP, as HOST:PORT; borrowed strings, the array is to be freed. */
struct opt_list listen_hosts(const struct listen_set *set);

/* What must hold before others are let in. has_tokens: requests need one; has_certs: the
 * handshake needs a client's certificate. 0, or -1 with what lacks and what to do in why. */
int listen_check(const struct listen_set *set, bool has_tokens, bool has_certs, char *why, size_t size);

/* Binds all, for so many threads. 0, or -1 with the reason in why, the address first. */
int listen_open(struct listen_set *set, unsigned n_threads, char *why, size_t size);
/* A socket of l for thread `index`, each index once and 0 first; given to the caller. -1 with the
 * reason in why. */
int listen_take(struct listener *l, unsigned index, unsigned n_threads, char *why, size_t size);
/* What --ready-fd gets: the port of the first TCP socket; without any, the path of the first. */
const char *listen_ready(const struct listen_set *set);

#endif
