/* fuzz_command: any file as a configuration of commands. Checked: each fault is one line that
 * points into the file; what has none makes a schema, which loads or is refused with a
 * reason (names of two commands may make the same message). */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/conf.h"
#include "base/util.h"
#include "errand_v1.schema.h"
#include "schema/schema.h"
#include "service/command_spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct text {
	const uint8_t *data;
	size_t size;
};

static void check(bool ok, const char *what, const char *line)
{
	if (ok)
		return;
	fprintf(stdout, "%s: %s\n", what, line);
	fflush(stdout);
	abort();
}

/* The characters of that line, from 1; -1: there is none. */
static int line_len(const struct text *t, int line)
{
	size_t at = 0;
	int n = 0;

	for (; line > 1 && at < t->size; at++)
		line -= t->data[at] == '\n';
	if (line != 1)
		return -1;
	for (; at < t->size && t->data[at] != '\n'; at++)
		n += (t->data[at] & 0xc0) != 0x80;
	return n;
}

static void check_place(const struct text *t, const char *file, const char *fault)
{
	int line, column, end = 0;

	check(strncmp(fault, file, strlen(file)) == 0, "another file", fault);
	check(sscanf(fault + strlen(file), ":%d:%d: %n", &line, &column, &end) == 2 && end > 0, "no place", fault);
	check(fault[strlen(file) + (size_t)end] != '\0', "no text", fault);
	check(line_len(t, line) >= 0, "no such line", fault);
	/* what goes behind the end of a line is one further */
	check(column >= 1 && column <= line_len(t, line) + 1, "no such column", fault);
}

static void check_faults(const struct text *t, const char *file, char *said, int n)
{
	char *rest = said;

	for (char *line; (line = strsep(&rest, "\n")) != NULL && rest != NULL; n--)
		check_place(t, file, line);
	check(n == 0, "another number of faults", "");
}

static void check_schema(const struct command_set *set)
{
	AUTO_BUF made = BUF_INIT, all = BUF_INIT;
	struct schema *schema = NULL;
	char why[400] = "";
	char **services;

	command_schema_make(set, &made, &services);
	if (schema_merge(&all, (struct bytes[]){{errand_v1_schema, errand_v1_schema_len}, buf_bytes(&made)}, 2, why,
			 sizeof why) < 0 || schema_load(all.data, all.len, &schema, why, sizeof why) < 0)
		check(why[0] != '\0', "refused without a reason", "");
	for (size_t i = 0; schema != NULL && i < set->n; i++)
		check(schema_method(schema, set->specs[i].name, strlen(set->specs[i].name)) != NULL, "no method",
		      set->specs[i].name);
	schema_unref(schema);
	for (char **s = services; *s != NULL; s++)
		free(*s);
	free(services);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("conf", MFD_CLOEXEC), n;
	AUTO_FREE char *file = xasprintf("/proc/self/fd/%d", fd), *said = NULL;
	const struct text text = {data, size};
	struct conf c = CONF_INIT;
	struct command_set set;
	FILE *old = stderr;
	size_t len;

	if (fd < 0 || fchmod(fd, 0600) < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	stderr = open_memstream(&said, &len);
	conf_read(&c, file);
	command_config_read(&c, &set);
	n = (int)conf_report(&c, stderr);
	conf_deinit(&c);
	fclose(stderr);
	stderr = old;
	check_faults(&text, file, said, n);
	if (n == 0)
		check_schema(&set);
	command_set_deinit(&set);
	close(fd);
	return 0;
}
