/* carrier.h: who carries an HTTP request, as one struct of functions: libcurl's is a
 * plugin (carrier_curl.c) that is loaded when a command is given a URL, since libcurl and
 * what it needs would double the time in which a command on a socket is done. */
#ifndef CLI_CARRIER_H
#define CLI_CARRIER_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum carrier_end {
	CARRIER_DONE,        /* a whole answer */
	CARRIER_STOPPED,     /* on_body did not want more */
	CARRIER_TIMEOUT,
	CARRIER_UNREACHABLE, /* nobody there, or not whom the certificates allow */
	CARRIER_BROKEN,      /* the answer was cut off */
};

/* One request. All but the outcome is borrowed until run() returns. */
struct carrier_request {
	const char *url, *unix_path; /* unix_path: the socket to ask at, or NULL */
	const char *ca, *cert, *key; /* files; NULL: the system's, none, none */
	const char *const *headers;  /* "Name: value", NULL-terminated */
	bool get;                    /* GET, without a body; else POST */
	bool once;                   /* not on a kept connection: were that dead, it would be sent again */
	struct bytes body;
	int64_t timeout_ns;          /* 0: none */
	/* The body as it comes, after status and head are there; non-zero stops. */
	int (*on_body)(struct carrier_request *r, const void *data, size_t len);
	void *arg;

	int status;                  /* 0: no answer came */
	struct buf head;             /* "Name: value\n" each; the caller frees it */
	char why[256];               /* unless CARRIER_DONE */
};

struct carrier {
	void *(*open)(void); /* a handle keeps its connection; NULL: out of memory */
	void (*close)(void *handle);
	enum carrier_end (*run)(void *handle, struct carrier_request *r);
};

#define CARRIER_PLUGIN "errand-http.so"
#define CARRIER_SYMBOL "errand_http_carrier"
extern const struct carrier errand_http_carrier;

/* Loads the plugin, from the build tree we are in or from where it was installed. NULL
 * with the reason in why. It stays loaded. */
const struct carrier *carrier_load(char *why, size_t why_size);

/* The value of the first header of that name in r->head, as a new string; NULL. */
char *carrier_header(const struct carrier_request *r, const char *name);

#endif
