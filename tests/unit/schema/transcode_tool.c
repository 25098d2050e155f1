/* transcode_tool.c: the transcoder for scripts: one line in, one line out.
 *   transcode_tool SET
 *   json pkg.Message {...}   ->  ok 0801...  |  fault POINTER RULE DETAIL
 *   wire pkg.Message 0801... ->  ok {...}    |  error REASON
 *   zero pkg.Message 0801... ->  the same without zero values
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>

#include "schema/transcode.h"

static struct schema *load(const char *path)
{
	AUTO_BUF set = BUF_INIT;
	struct schema *s = NULL;
	char chunk[4096], why[300] = "";
	FILE *f = fopen(path, "rb");
	size_t n;

	if (f == NULL) {
		perror(path);
		exit(1);
	}
	while ((n = fread(chunk, 1, sizeof chunk, f)) > 0)
		buf_append(&set, chunk, n);
	fclose(f);
	if (schema_load(set.data, set.len, &s, why, sizeof why) < 0) {
		fprintf(stderr, "%s: %s\n", path, why);
		exit(1);
	}
	return s;
}

static void from_json(const struct schema *s, const struct schema_message *m, const char *text)
{
	struct transcode_read o = {.schema = s};
	struct fault_list faults = FAULT_LIST_INIT;
	AUTO_BUF wire = BUF_INIT;

	if (transcode_from_json(&o, m, text, strlen(text), "#", &wire, &faults) == 0) {
		printf("ok ");
		for (size_t i = 0; i < wire.len; i++)
			printf("%02x", wire.data[i]);
		putchar('\n');
	} else {
		printf("fault %s %s %s\n", faults.items[0].where, faults.items[0].rule,
		       faults.items[0].detail);
	}
	fault_list_deinit(&faults);
}

static void to_json(const struct schema *s, const struct schema_message *m, const char *hex, bool skip_zero)
{
	struct transcode_write o = {.schema = s, .skip_zero = skip_zero};
	AUTO_BUF wire = BUF_INIT;
	AUTO_BUF json = BUF_INIT;
	char why[300] = "";
	unsigned v;

	for (; sscanf(hex, "%2x", &v) == 1; hex += 2)
		buf_append_byte(&wire, (uint8_t)v);
	if (transcode_to_json(&o, m, buf_bytes(&wire), &json, why, sizeof why) == 0)
		printf("ok %s\n", buf_cstr(&json));
	else
		printf("error %s\n", why);
}

static void run(const struct schema *s, char *line)
{
	const struct schema_message *m;
	char *name = strchr(line, ' '), *text = name ? strchr(name + 1, ' ') : NULL;

	if (text == NULL) {
		printf("error what?\n");
		return;
	}
	*name++ = '\0';
	*text++ = '\0';
	m = schema_message(s, name, strlen(name));
	if (m == NULL)
		printf("error no message %s\n", name);
	else if (strcmp(line, "json") == 0)
		from_json(s, m, text);
	else
		to_json(s, m, text, strcmp(line, "zero") == 0);
}

int main(int argc, char **argv)
{
	struct schema *s;
	char *line = NULL;
	size_t size = 0;
	ssize_t len;

	if (argc != 2) {
		fprintf(stderr, "usage: transcode_tool SET\n");
		return 64;
	}
	s = load(argv[1]);
	while ((len = getline(&line, &size, stdin)) > 0) {
		line[len - (line[len - 1] == '\n')] = '\0';
		run(s, line);
		fflush(stdout);
	}
	free(line);
	schema_unref(s);
	return 0;
}
