/* command_config.h: what the files that read a command's section share. Private to
 * service/command_{config,key,param,results,template}.c. */
#ifndef SERVICE_COMMAND_CONFIG_H
#define SERVICE_COMMAND_CONFIG_H

#include "base/conf.h"
#include "service/command_spec.h"

/* A word of a value: text owned by the caller's walk, with its place. */
struct word {
	char *text;          /* unquoted; owned */
	const char *at;      /* in the entry's value */
	size_t len;          /* there */
};
/* The next word at *pp (moved on), quoted or not: "..." may be all of it or begin behind a "=", and has \" and \\.
 * False at the end, or after a fault (no closing quote). */
bool word_next(struct conf *c, const struct conf_entry *e, const char **pp, struct word *w);

/* command_key.c: what a key says, but param.NAME. After all of these. */
void command_key_read(struct conf *c, const struct conf_entry *e, struct command_spec *s);

/* command_param.c. From param.NAME = ...; false: not one (told). */
bool command_param_read(struct conf *c, const struct conf_entry *e, const char *name, struct command_param *out);
void command_param_deinit(struct command_param *p);
/* Are they one name in JSON, as a_b and a__b are? */
bool command_name_clash(const char *a, const char *b);
/* The index of a parameter, or -1. */
int command_param_find(const struct command_spec *s, const char *name, size_t len);
/* What goes behind a fault about a name that is none: " (did you mean X?)", or "". Owned. */
char *command_hint(const char *word, size_t len, const char *const *list);
char *command_param_hint(const struct command_spec *s, const char *name, size_t len);
bool command_type_read(const char *text, size_t len, bool result, enum param_type *out);
extern const char *const command_type_names[]; /* by enum param_type; NULL-terminated */

/* command_template.c. argv: many elements, quotes, groups. */
bool command_template_argv(struct conf *c, const struct conf_entry *e, const struct command_spec *s,
			   struct command_template *out);
/* The text at `at` as one element, up to its end. */
bool command_template_one(struct conf *c, const struct conf_entry *e, const char *at, size_t len,
			  const struct command_spec *s, struct command_template *out);
void command_template_deinit(struct command_template *t);

/* command_results.c: the keys result and result.NAME. */
void command_results_read(struct conf *c, const struct conf_entry *e, struct command_spec *s);

#endif
