/* doctor_impl.h: what the files of `errand doctor` share: a check looks at one thing and says
 * what it found, each finding one line. One thread. */
#ifndef CLI_DOCTOR_IMPL_H
#define CLI_DOCTOR_IMPL_H

#include <sys/types.h>

#include "cli/backend.h"
#include "cli/figures.h"

/* The exit status is the worst. */
enum doctor_level { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL };

struct doctor_conf {
	struct cli_common common;
	const char *gateway, *store;
};

struct doctor {
	const struct doctor_conf *conf;
	struct backend backend;   /* common as the checks want it */
	char *socket;             /* of the service, owned; NULL: over a URL */
	struct remote *gateway;   /* NULL: no URL of one is known */
	struct target gateway_at;
	bool reached, answers;    /* somebody listens; the service said something */
	pid_t pid;                /* who listens on the socket; 0: not known */
	struct figures_server server; /* when it answers */
	int64_t asked_ns;         /* when it did */
	char gateway_version[48];
	enum doctor_level worst;
};

/* One finding. advice: what to do, NULL when there is nothing. */
void doctor_say(struct doctor *d, enum doctor_level level, const char *check, const char *advice,
		const char *fmt, ...) PRINTF(5, 6);

/* --- the checks, in their order --- */
void doctor_socket(struct doctor *d);        /* doctor_service.c */
void doctor_service(struct doctor *d);
void doctor_gateway(struct doctor *d);
void doctor_versions(struct doctor *d);
void doctor_store(struct doctor *d);         /* doctor_store.c */
void doctor_clock(struct doctor *d);         /* doctor_host.c */
void doctor_limits(struct doctor *d);
void doctor_kernel(struct doctor *d);
void doctor_configuration(struct doctor *d); /* doctor_programs.c */
void doctor_zones(struct doctor *d);
void doctor_units(struct doctor *d);

/* --- doctor_programs.c --- */

/* Runs a program (a path, or a name in PATH) for at most timeout_ns; what it wrote into *out.
 * Its exit status, or -1: it could not be run, was killed or took too long. */
int doctor_run(const char *const *argv, int64_t timeout_ns, struct buf *out);

/* The value of "key = value" in what `errand-service -T` prints, owned; NULL. */
char *doctor_setting(const char *key);

#endif
