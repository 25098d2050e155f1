/* hook_transport.h: who carries a callback over the network, as one struct of
 * functions: libcurl's is a plugin that is loaded when the first callback is due
 * (hook_curl.c), the tests have one without a network. */
#ifndef SERVICE_HOOK_TRANSPORT_H
#define SERVICE_HOOK_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/util.h"

struct sockaddr;

#define HOOK_ANSWER_MAX (64 << 10) /* of a head, and of a body: more is not read */

/* One POST. Made by who sends, who keeps all of it until done(). */
struct hook_send {
	const char *url;
	const char *const *headers; /* "name: value", NULL-terminated */
	struct bytes body;
	int64_t connect_ms, total_ms;
	/* Asked for every address, right before it is dialled; the transport's thread. */
	bool (*may_dial)(struct hook_send *s, const struct sockaddr *address, char *why, size_t why_size);
	void (*done)(struct hook_send *s); /* once, on the transport's thread */

	/* The outcome. */
	int status;            /* of a whole head, >= 200; 0: none came */
	int64_t retry_after_s; /* what it asks for, 0 = nothing */
	bool refused;          /* no address that may be dialled */
	char error[256];       /* why there is no status */
};

struct hook_transport_options {
	const char *ca; /* file of certificates to trust, NULL: the system's */
	unsigned max_idle; /* connections kept */
};

struct hook_transport {
	const char *name;
	int (*start)(const struct hook_transport_options *o, char *why, size_t why_size);
	void (*send)(struct hook_send *s); /* any thread */
	/* Ends what is under way, each with its done(); none after it. */
	void (*stop)(void);
};

/* What the plugin exports. */
#define HOOK_PLUGIN "errand-hook.so"
#define HOOK_PLUGIN_SYMBOL "errand_hook_transport"
extern const struct hook_transport errand_hook_transport;

/* Loads the plugin, from where our own library is in a build tree, else from where it
 * was installed. It stays loaded. Negative with the reason in why. hook_plugin.c */
int hook_plugin_load(const struct hook_transport **out, char *why, size_t why_size);

#endif
