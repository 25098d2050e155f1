/* show.h: output for people and programs: JSON, problems, times, what the
 * terminal can do. Text of a peer is printed without its control bytes. */
#ifndef CLI_SHOW_H
#define CLI_SHOW_H

#include <stdio.h>

#include "schema/fault.h"
#include "schema/schema.h"

bool show_is_terminal(FILE *f); /* and not TERM=dumb */
bool show_color(const char *when); /* --color auto, always, never; false: none of these */
bool show_has_color(FILE *f);   /* always, or a terminal and no NO_COLOR */
bool show_has_utf8(void);
int show_width(FILE *f);        /* columns; 80 when not known */

/* One message as JSON and a newline on stdout: indented when `pretty`. CLI_OK, or
 * CLI_FAILED after an error. */
int show_json(const struct schema *s, const struct schema_message *m, struct bytes wire,
	      bool pretty);
/* The value of one field of it. */
int show_json_field(const struct schema *s, const struct schema_field *f, struct bytes wire,
		    bool pretty);

/* An error answer on stderr: its name, the detail, each fault with its place.
 * `problem` is a serialized errand.v1.Problem or empty; what (may be NULL) is
 * named in front. With a schema it is one line of problem JSON instead. */
void show_problem(const char *what, int code, const char *message, struct bytes problem,
		  const struct schema *s);
/* What was refused, as a problem object on one line of stderr; CLI_DATA. what:
 * "message", "request". */
int show_refused(const struct fault_list *faults, const char *what);
void show_faults(const char *what, const struct fault_list *faults, bool json);

/* Peer's text: control bytes but newline and tab become U+FFFD. */
void show_text(FILE *f, const char *text, size_t len);

/* "12s", "3m04s", "2h10m", "5d03h" */
char *show_duration(int64_t us, char out[24]);
/* "512 bytes", "1.5 MiB" */
char *show_bytes(uint64_t bytes, char out[24]);
/* "14:03:01", with the date when it is not today's; local time */
char *show_time(int64_t wall_us, char out[24]);

#endif
