/* command_rig.c: see command_rig.h. */
#define _GNU_SOURCE
#include "tests/unit/service/command_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/conf.h"
#include "schema/transcode.h"
#include "tests/support/load.h"

static void read_section(struct command_rig *rig, const char *lines)
{
	char path[] = "/tmp/errand-command-XXXXXX";
	struct conf c = CONF_INIT;
	int fd = mkstemp(path);
	FILE *f = fdopen(fd, "w");

	assert_non_null(f);
	fprintf(f, "[command " RIG_METHOD "]\n%s", lines);
	fclose(f);
	conf_read(&c, path);
	unlink(path);
	command_config_read(&c, &rig->set);
	assert_int_equal(conf_report(&c, stderr), 0);
	conf_deinit(&c);
	rig->spec = &rig->set.specs[0];
}

static void free_names(char **names)
{
	for (size_t i = 0; names[i] != NULL; i++)
		free(names[i]);
	free(names);
}

void rig_open(struct command_rig *rig, const char *lines)
{
	AUTO_BUF own = BUF_INIT, whole = BUF_INIT;
	struct schema *base = load_set(COMMAND_SET);
	char **names, why[256];
	struct bytes sets[2];

	read_section(rig, lines);
	command_schema_make(&rig->set, &own, &names);
	assert_string_equal(names[0], "test.v1.Commands");
	free_names(names);
	sets[0] = schema_set(base);
	sets[1] = buf_bytes(&own);
	if (schema_merge(&whole, sets, 2, why, sizeof why) < 0 ||
	    schema_load(whole.data, whole.len, &rig->schema, why, sizeof why) < 0)
		fail_msg("%s", why);
	schema_unref(base);
	rig->method = schema_method(rig->schema, RIG_METHOD, strlen(RIG_METHOD));
	assert_non_null(rig->method);
}

void rig_close(struct command_rig *rig)
{
	schema_unref(rig->schema);
	command_set_deinit(&rig->set);
	*rig = (struct command_rig){0};
}

void rig_wire(const struct command_rig *rig, const char *json, struct buf *wire)
{
	const struct transcode_read o = {.schema = rig->schema};
	struct fault_list faults = FAULT_LIST_INIT;

	if (transcode_from_json(&o, rig->method->input, json, strlen(json), "#", wire, &faults) < 0)
		fail_msg("%s: %s %s", json, faults.items[0].where, faults.items[0].detail);
	fault_list_deinit(&faults);
}

/* --- blocks --- */

static void take_line(struct rig_block *b, char *line)
{
	char *text = line + 1 + (line[1] == ' ');

	switch (*line) {
	case '#':
		snprintf(b->title, sizeof b->title, "%.*s", (int)strcspn(text, "\n"), text);
		break;
	case '>':
		buf_append_str(&b->section, text);
		break;
	case '<':
		if (line[1] == '\\') {
			text = line + 2 + (line[2] == ' ');
			text[strcspn(text, "\n")] = '\0';
		}
		buf_append_str(&b->in, text);
		break;
	case '?':
		b->status = atoi(text);
		break;
	case '=':
		buf_append_str(&b->out, text);
		b->has_out = true;
		break;
	case '!':
		buf_append_str(&b->faults, text);
		break;
	default:
		fail_msg("%s", line);
	}
}

static void end(struct rig_block *b, size_t *np, void (*check)(struct rig_block *b))
{
	if (b->section.len > 0) {
		++*np;
		check(b);
	}
	buf_deinit(&b->section);
	buf_deinit(&b->in);
	buf_deinit(&b->out);
	buf_deinit(&b->faults);
	*b = (struct rig_block){0};
}

size_t rig_blocks(const char *file, void (*check)(struct rig_block *b))
{
	FILE *f = fopen(file, "r");
	struct rig_block b = {0};
	char *line = NULL;
	size_t cap, n = 0;

	assert_non_null(f);
	while (getline(&line, &cap, f) > 0)
		if (*line == '\n')
			end(&b, &n, check);
		else
			take_line(&b, line);
	end(&b, &n, check);
	free(line);
	fclose(f);
	return n;
}
