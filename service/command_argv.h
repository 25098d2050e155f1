/* command_argv.h: templates with their values put in: one parameter is one element of argv
 * or a part of one, whatever is in it. Pure. */
#ifndef SERVICE_COMMAND_ARGV_H
#define SERVICE_COMMAND_ARGV_H

#include "service/command_input.h"

struct command_scope {
	const struct command_input *in;
	const char *task;    /* {@task}; "" when it is none */
	unsigned attempt;
	const char *method, *dir;
};

/* argv, NULL-terminated; free with command_argv_free. An element of which a parameter is absent
 * is left out, in a group with all others of that. Faults: what would be taken for an
 * option, what no argument can hold. */
char **command_argv_make(const struct command_scope *s, struct fault_list *faults);
void command_argv_free(char **argv);

/* A template of one element; NULL when a parameter in it is absent. */
char *command_template_text(const struct command_scope *s, const struct command_template *t);

/* What a client's strings with a pattern may not be in the names of result files. */
void command_result_names_check(const struct command_input *in, struct fault_list *faults);

#endif
