/* registry.h: the methods this service has: modules', errand.v1's own, and those of
 * sources (programs of the configuration, workers), found by name.
 *
 * What is found is a view: immutable, read by any thread. Another one takes its place when a
 * source comes, changes or goes (loop thread); views before it are kept until the end, so
 * that nobody who has a method or its schema in hand need hold it. A method that did not
 * change is the same object in all of them. */
#ifndef SERVICE_REGISTRY_H
#define SERVICE_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>

#include "errand/service.h"
#include "schema/fault.h"
#include "schema/schema.h"

/* How methods are run that have no handler in C. */
struct method;
struct runner {
	const char *name;  /* "command", "worker" */
	bool on_loop;      /* where run() is called: on the loop, so it must not block; else by the method's `run` */
	/* The input has been checked (payload.h); it lives as long as the call. Answers once, then or
	 * later, by call_answer_bytes or errand_fail; off the loop before it returns unless
	 * errand_keep was called. */
	void (*run)(struct errand_call *call, struct bytes input, void *arg);
	/* What its schema cannot say of an input, asked before a call is made or a task stored, and
	 * pointers as validate_message has them. On the loop: it must not block. NULL: nothing. */
	void (*check)(const struct method *method, struct bytes input, struct fault_list *faults);
};

struct method {
	const struct schema_method *schema; /* name, run, queue, retry, ... */
	ProtobufCService *service;          /* NULL where there is a runner; so are input and output */
	unsigned index;                     /* in service->descriptor->methods */
	const ProtobufCMessageDescriptor *input, *output;
	const struct runner *runner;        /* NULL: a handler in C */
	void *runner_arg;
	const char *queue;                  /* of its tasks, where they name none */
	enum method_run run;                /* never UNSPECIFIED */
	const struct dependency *const *needs; /* in opening order, sub-dependencies resolved;
						* NULL-terminated; see depends.h */
	_Atomic uint64_t n_calls, n_failed, n_slow; /* watchdog: held the loop too long */
};

/* Adds a module's services (borrowed for ever). Checked: abi, a handler for every
 * method (NULL is refused by name), the descriptor set describes the services.
 * 0, or negative with the reason in why. registry_finish merges the schemas,
 * resolves dependencies and makes lookups possible. */
int registry_add(const struct errand_module *module, char *why, size_t why_size);
int registry_finish(char *why, size_t why_size);

/* Methods that are no handlers in C. All borrowed until the call returns, but runner, arg
 * and queue for ever. */
struct method_source {
	const char *name;              /* who has them, for errors: "worker thumbs"; one source per name */
	const char *const *services;   /* their full names; NULL-terminated */
	struct bytes descriptor_set;
	const struct runner *runner;
	void *arg;
	const char *queue;             /* of methods that name none; NULL: "default"; "": their service's name */
};
/* Before registry_finish. */
int registry_add_source(const struct method_source *source, char *why, size_t why_size);
/* After it, on the loop thread: a new source, or another content of the one of that name.
 * -ERRAND_ALREADY_EXISTS a service of it is somebody else's; -ERRAND_RESOURCE_EXHAUSTED too many changes since the
 * start; -ERRAND_INVALID_ARGUMENT the set is not one, or does not go with the others, or
 * its routes are taken. Nothing has changed then. 0 also when it has just that already. */
int registry_set_source(const struct method_source *source, char *why, size_t why_size);
/* Its methods are unknown from now on. */
void registry_remove_source(const char *name);
/* changed() is called on the loop after every such change; one listener. */
void registry_on_change(void (*changed)(void));

const struct method *registry_method(const char *service, size_t service_len,
				     const char *name, size_t name_len);
const struct method *registry_method_by_name(const char *full_name); /* "pkg.S/M" */
/* errand's own: errand.v1.*. */
bool registry_is_builtin(const struct method *m);
const struct schema *registry_schema(void);
const uint8_t *registry_digest(void); /* SHA-256, 32 bytes */

/* The modules' own start, in the order they were added (a failure stops those that
 * were started), and stop, in reverse order. */
int registry_start_modules(char *why, size_t why_size);
void registry_stop_modules(void);
void registry_deinit(void);

#endif
