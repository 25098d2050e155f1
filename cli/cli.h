/* cli.h: what the subcommands of errand share: exit codes, options, errors on
 * stderr. One thread; everything may exit the process. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/opt.h"
#include "base/util.h"

/* errand(1) has the same table. */
enum cli_exit {
	CLI_OK = 0,
	CLI_FAILED = 1,        /* the call or the task failed */
	CLI_CANCELLED = 3,     /* the task was cancelled */
	CLI_NOT_FOUND = 4,     /* no such task, method or route */
	CLI_USAGE = 64,        /* the command line is wrong (EX_USAGE) */
	CLI_DATA = 65,         /* what was given breaks the schema (EX_DATAERR) */
	CLI_UNREACHABLE = 69,  /* nobody answers on the socket, a program is missing */
	CLI_TIMEOUT = 124,     /* as timeout(1) */
	CLI_INTERRUPTED = 130, /* SIGINT, as shells show it */
};

/* The options every subcommand that talks to a service has: the entries of its
 * table are CLI_COMMON(struct of it), whose member `common` this is. */
struct cli_common {
	const char *socket, *url, *context; /* NULL: see target.h */
	bool json;
	int64_t timeout;    /* ns; 0 = none */
	const char *color;  /* auto, always, never */
};

#define CLI_COMMON(type) \
	{"socket", 's', OPT_STRING, offsetof(type, common.socket), NULL, 0, 0, "PATH", \
	 "the service's socket; default $ERRAND_SOCKET, else the standard place"}, \
	{"url", 'u', OPT_STRING, offsetof(type, common.url), NULL, 0, 0, "URL", \
	 "its gateway instead: http://, https:// or unix:PATH; default $ERRAND_URL"}, \
	{"context", 0, OPT_STRING, offsetof(type, common.context), NULL, 0, 0, "CONTEXT", \
	 "a service by its name in contexts.conf; default $ERRAND_CONTEXT"}, \
	{"json", 'j', OPT_FLAG, offsetof(type, common.json), NULL, 0, 0, NULL, \
	 "output for programs: JSON, one value a line"}, \
	{"timeout", 't', OPT_TIME, offsetof(type, common.timeout), NULL, 0, 0, "TIME", \
	 "give up after this long, with exit status 124"}, \
	{"color", 0, OPT_STRING, offsetof(type, common.color), "auto", 0, 0, "auto|always|never", \
	 "colours: on a terminal, always or never"}

/* Where errand --help shows a command. */
enum command_group {
	GROUP_SERVICE, GROUP_CALL, GROUP_TASKS, GROUP_QUEUES, GROUP_AUTHOR, N_COMMAND_GROUPS,
};

/* A subcommand: argv[0] is its full name ("errand task get"). */
struct command {
	const char *name, *summary;
	int (*run)(int argc, char **argv);
	const char *usage; /* its operands, for errand --help */
	enum command_group group;
};

/* As opt_parse, but options may stand behind operands: argv is reordered in
 * place. Returns the index of the first operand; exits with CLI_USAGE. The first line of
 * usage names the operands in capitals, for people and for completion.c. --json and --color,
 * if the table has them, count from here on. */
int cli_parse(const struct opt *table, size_t n, void *conf, int argc, char **argv,
	      const char *usage);
/* The same of a command whose options end at its first operand. */
int cli_parse_front(const struct opt *table, size_t n, void *conf, int argc, char **argv,
		    const char *usage);

/* From now on these two hand over what they were called with instead of parsing; it does not
 * return. Shells' completion asks commands for their options in this way. */
typedef void cli_asked(const struct opt *table, size_t n, int argc, char **argv, const char *usage);
void cli_ask(cli_asked *asked);
/* Does this argument have its value in the next one? */
bool cli_takes_next(const struct opt *table, size_t n, const char *arg);

/* The entry called `name`, or NULL after an error with "did you mean": of n entries of `size` bytes, each of
 * which begins with its name, a const char *. */
const void *cli_find(const void *table, size_t n, size_t size, const char *what, const char *name);
#define CLI_FIND(table, what, name) cli_find(table, ARRAY_LEN(table), sizeof *(table), what, name)

/* Of a command with commands of its own: the one that the first operand names runs, its
 * exit status is in *exitp; false when there is no such one. */
bool cli_subcommand(const struct command *table, size_t n, int argc, char **argv, int *exitp);

/* "errand: ..." and a newline on stderr, or a line of JSON. */
void cli_error(const char *fmt, ...) PRINTF(1, 2);

/* What to do about it, in words for people: nothing where errors are JSON. */
void cli_hint(const char *fmt, ...) PRINTF(1, 2);

/* Writes what is left for stdout. CLI_FAILED when that, or anything before, could not be written (a full disk),
 * which is said once. It happens at the end anyway: for those who go on, or have to know it earlier. */
int cli_flush(void);

/* From now on errors are JSON: {"detail":...} on one line. */
void cli_errors_as_json(bool on);
bool cli_has_json_errors(void);

/* The folder this program was started from, owned by the caller; in a build tree
 * with libtool it is DIR/.libs behind a script DIR/errand. */
char *cli_folder(void);

/* The exit status for a call that ended with this errand_code. */
enum cli_exit cli_exit_of(int code);

int call_command(int argc, char **argv);
int cancel_command(int argc, char **argv);
int context_command(int argc, char **argv);
int convert_command(int argc, char **argv);
int delete_command(int argc, char **argv);
int deliveries_command(int argc, char **argv);
int delivery_command(int argc, char **argv);
int dev_command(int argc, char **argv);
int doctor_command(int argc, char **argv);
int events_command(int argc, char **argv);
int gen_command(int argc, char **argv);
int hold_command(int argc, char **argv);
int list_command(int argc, char **argv);
int logs_command(int argc, char **argv);
int new_command(int argc, char **argv);
int ping_command(int argc, char **argv);
int purge_command(int argc, char **argv);
int queue_command(int argc, char **argv);
int queues_command(int argc, char **argv);
int release_command(int argc, char **argv);
int result_command(int argc, char **argv);
int retry_command(int argc, char **argv);
int routes_command(int argc, char **argv);
int run_command(int argc, char **argv);
int run_now_command(int argc, char **argv);
int schedule_command(int argc, char **argv);
int schedules_command(int argc, char **argv);
int set_command(int argc, char **argv);
int show_command(int argc, char **argv);
int status_command(int argc, char **argv);
int store_command(int argc, char **argv);
int submit_command(int argc, char **argv);
int task_command(int argc, char **argv);
int task_create_command(int argc, char **argv);
int tasks_command(int argc, char **argv);
int token_command(int argc, char **argv);
int top_command(int argc, char **argv);
int version_command(int argc, char **argv);
int wait_command(int argc, char **argv);
int watch_command(int argc, char **argv);
int worker_command(int argc, char **argv);
int workers_command(int argc, char **argv);

#endif
