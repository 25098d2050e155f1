/* transcode_tool.c: the transcoder for scripts: one line in, one line out.
 *   transcode_tool SET
 *   json pkg.Message {...}   ->  ok 0801...  |  fault POINTER RULE DETAIL
 *   wire pkg.Message 0801... ->  ok {...}    |  error REASON
 *   zero pkg.Message 0801... ->  the same without zero values
 *   canon pkg.Message 0801.. ->  canonical ProtoJSON
 *   norm pkg.Message 0801... ->  ok 0801...  |  error REASON: canonical wire
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>

#include "schema/transcode.h"
#include "tests/support/load.h"

static void put_hex(const struct buf *b)
{
	printf("ok ");
	for (size_t i = 0; i < b->len; i++)
		printf("%02x", b->data[i]);
	putchar('\n');
}

static void unhex(const char *hex, struct buf *out)
{
	char pair[3] = "";

	for (; hex[0] != '\0' && hex[1] != '\0'; hex += 2) {
		memcpy(pair, hex, 2);
		buf_append_byte(out, (uint8_t)strtoul(pair, NULL, 16));
	}
}

static void from_json(const struct schema *s, const struct schema_message *m, const char *text)
{
	struct transcode_read o = {.schema = s};
	struct fault_list faults = FAULT_LIST_INIT;
	AUTO_BUF wire = BUF_INIT;

	if (transcode_from_json(&o, m, text, strlen(text), "#", &wire, &faults) == 0)
		put_hex(&wire);
	else
		printf("fault %s %s %s\n", faults.items[0].where, faults.items[0].rule,
		       faults.items[0].detail);
	fault_list_deinit(&faults);
}

static void to_json(const struct schema *s, const struct schema_message *m, const char *hex,
		    bool skip_zero, bool json_names)
{
	struct transcode_write o = {.schema = s, .skip_zero = skip_zero, .json_names = json_names};
	AUTO_BUF wire = BUF_INIT;
	AUTO_BUF json = BUF_INIT;
	char why[300] = "";

	unhex(hex, &wire);
	if (transcode_to_json(&o, m, buf_bytes(&wire), &json, why, sizeof why) == 0)
		printf("ok %s\n", buf_cstr(&json));
	else
		printf("error %s\n", why);
}

static void normalize(const struct schema_message *m, const char *hex)
{
	AUTO_BUF wire = BUF_INIT;
	AUTO_BUF out = BUF_INIT;
	char why[300] = "";

	unhex(hex, &wire);
	if (transcode_normalize(m, buf_bytes(&wire), &out, why, sizeof why) == 0)
		put_hex(&out);
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
	else if (strcmp(line, "norm") == 0)
		normalize(m, text);
	else
		to_json(s, m, text, strcmp(line, "wire") != 0, strcmp(line, "canon") == 0);
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
	s = load_set(argv[1]);
	while ((len = getline(&line, &size, stdin)) > 0) {
		line[len - (line[len - 1] == '\n')] = '\0';
		run(s, line);
		fflush(stdout);
	}
	free(line);
	schema_unref(s);
	return 0;
}
