/* command_spec.h: a program as a method (docs/COMMANDS.md): what its section of the
 * configuration says, checked. Made at start by command_config.c, immutable after, read by
 * any thread. command_schema.c makes its messages; command.c runs it. */
#ifndef SERVICE_COMMAND_SPEC_H
#define SERVICE_COMMAND_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "errand/service.h"
#include "schema/regex.h"

enum param_type {
	PARAM_STRING,
	PARAM_PATH,
	PARAM_BYTES,
	PARAM_INT,    /* int32 */
	PARAM_LONG,   /* int64 */
	PARAM_NUMBER, /* double */
	PARAM_BOOL,
	PARAM_JSON,   /* of results only: google.protobuf.Value */
};

enum path_must { PATH_ANY, PATH_FILE, PATH_DIR, PATH_NEW };

/* A field of the input; its number is its place in params + 1. Rules on values
 * (pattern, range, enum, lengths, required) are in the schema and were kept before a command runs; here is
 * what only the command knows. */
struct command_param {
	char *name;
	enum param_type type;
	bool required, repeated, in_route;
	bool dash_ok;             /* dash=allow */
	bool atomic;              /* the program gets a name beside it; renamed when it has succeeded */
	char *fallback;           /* default=, as text; NULL: none, it may be absent */
	enum path_must must;      /* of a path */
	char **dirs;              /* in=: absolute, resolved at load; NULL-terminated; at least one for a path */
	char **dirs_given;        /* the same in the same order, absolute, as written (links in them, no "..");
				   * NULL: as dirs */
	/* rules, for the schema */
	char **choices;           /* enum=; NULL-terminated; NULL */
	char *pattern, *help;     /* NULL */
	char *min, *max;          /* numbers as text; NULL */
	int64_t min_len, max_len, max_items; /* -1: not given */
};

/* A piece of an element: text, or a parameter. */
struct command_piece {
	char *text;               /* NULL: a parameter, or: */
	int param;                /* index; -1: none */
	enum command_variable {
		VARIABLE_NONE, VARIABLE_TASK, VARIABLE_ATTEMPT, VARIABLE_METHOD, VARIABLE_DIR,
	} variable;
	bool each;                /* {NAME...}: one element for each value */
	bool test;                /* {NAME?}: adds nothing; its group is left out unless the bool is true */
};

/* One element of a template: concatenated pieces. group: 0, or the number of the optional
 * group it is in; a group is left out when one of its parameters is absent. */
struct command_element {
	struct command_piece *pieces;
	size_t n_pieces;
	unsigned group;
};

struct command_template {
	struct command_element *elements;
	size_t n;
};

enum command_stdin { STDIN_NONE, STDIN_PARAM, STDIN_BODY, STDIN_JSON };

enum result_kind {
	RESULT_TEXT,   /* message {string output = 1; int32 exit_status = 2;} */
	RESULT_JSON,   /* google.protobuf.Value */
	RESULT_BYTES,  /* google.api.HttpBody from stdout */
	RESULT_FILE,   /* google.api.HttpBody from a file */
	RESULT_NONE,   /* an empty message */
	RESULT_FIELDS, /* message of command_results, numbered by place + 1 */
};

enum result_source { FROM_STDOUT, FROM_STDOUT_JSON, FROM_EXIT, FROM_FILE, FROM_CONST };

struct command_result {
	char *name;
	enum param_type type;
	enum result_source source;
	char *arg;                /* member path of FROM_STDOUT_JSON, text of FROM_CONST; NULL */
	struct command_template file; /* of FROM_FILE: one element */
};

enum progress_kind { PROGRESS_PERCENT, PROGRESS_DONE, PROGRESS_TOTAL, PROGRESS_MESSAGE, N_PROGRESS };

struct command_progress {
	int fd;                   /* 1 or 2; 0: not used */
	char *pattern;
	struct regex *regex;
};

struct exit_range {
	int from, to;
};

struct command_spec {
	char *file;               /* of the configuration, with its line, for messages */
	int line;
	char *name;               /* "media.v1.Encoder/Encode" */
	char *service, *method;   /* its parts: "media.v1.Encoder", "Encode" */
	char *summary, *description; /* NULL */
	char *verb, *path;        /* of route; NULL */
	bool sync;                /* run = sync */
	struct command_param *params;
	size_t n_params;
	struct command_template argv;
	char *program;            /* argv[0] as it was found: absolute */
	enum command_stdin stdin_from;
	int stdin_param;
	struct command_env {
		char *name;
		struct command_template value; /* one element */
	} *env;
	size_t n_env;
	char **keep_env;          /* names; NULL-terminated; NULL */
	char *directory;          /* absolute; NULL: "/" */
	bool temporary;           /* directory = temporary */
	int umask;                /* as errand_command has it */
	char *user, *group;       /* NULL */
	enum result_kind result;
	char *content_type;       /* of RESULT_BYTES and _FILE */
	struct command_template result_file;
	struct command_result *results;
	size_t n_results;
	int64_t max_output;
	struct exit_range *success, *retryable; /* owned; n_retryable 0: all */
	size_t n_success, n_retryable;
	bool progress_fd3;
	struct command_progress progress[N_PROGRESS];
	/* for (errand.v1.method); texts as given were checked; 0 and NULL: not given */
	char *queue;
	unsigned slots;
	int32_t priority;
	int64_t timeout_ns, start_deadline_ns, total_timeout_ns, progress_timeout_ns;
	int64_t cancel_grace_ns, result_ttl_ns, max_result;
	struct {
		uint32_t max_attempts;
		int64_t base_ns, cap_ns;
		double factor;
	} retry;
	struct errand_limits limits;
	char **read, **write;     /* Landlock; NULL-terminated; NULL */
};

/* command_config.c. Reads the sections [command ...] of files that were read; what is wrong is among
 * their faults. Gives the commands, or none when the files have any fault. Before any thread. */
struct command_set {
	struct command_spec *specs;
	size_t n;
	char *text;               /* the sections as they stand there: equal texts are equal sets; owned */
};
struct conf;
void command_config_read(struct conf *c, struct command_set *out);
void command_set_deinit(struct command_set *set);

/* command_schema.c: a FileDescriptorSet of their services, with routes, rules, documentation
 * and (errand.v1.method), ready for the registry; and the names of the services (NULL-terminated, owned). */
struct buf;
void command_schema_make(const struct command_set *set, struct buf *out, char ***servicesp);

/* command.c: the runner of all of them (registry.h); takes the set. After it the
 * registry's source "configuration" has their methods. 0, or an error with the reason in why. Before
 * registry_finish. */
int command_init(struct command_set *set, char *why, size_t why_size);
/* The methods of the service are those of this set from now on; what runs goes on by the former. Takes the set when
 * it succeeds; else all is as it was. After command_start; loop thread. */
int command_reload(struct command_set *set, char *why, size_t why_size);
void command_deinit(void);
/* The temporary directories of all that want one; sweeps what a service before has left. 0, or
 * an error with the reason in why. Before the first call; stop after the last. */
int command_start(char *why, size_t why_size);
void command_stop(void);
/* The first command whose method, else whose service, a text names, to say where it is declared; NULL. */
const struct command_spec *command_mentioned(const char *text);

#endif
