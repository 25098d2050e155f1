#define _GNU_SOURCE
#include "cli/schema_arg.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/backend.h"

bool schema_arg_read(const char *path, struct buf *out)
{
	bool standard = strcmp(path, "-") == 0;
	AUTO_CLOSE int opened = standard ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	int fd = standard ? STDIN_FILENO : opened;
	ssize_t n = -1;

	while (fd >= 0 && buf_reserve(out, 65536) != NULL) {
		n = read(fd, out->data + out->len, 65536);
		if (n <= 0 && !(n < 0 && errno == EINTR))
			break;
		out->len += n > 0 ? (size_t)n : 0;
	}
	if (n == 0)
		return true;
	cli_error("%s: %s", standard ? "stdin" : path, strerror(errno));
	return false;
}

/* Of the two one is NULL. */
static int from_service(const char *socket, const char *url, struct schema **out)
{
	struct cli_common common = {.socket = socket, .url = url, .json = cli_has_json_errors()};
	struct backend b;
	int r = backend_open(&b, &common);

	if (r != CLI_OK)
		return r;
	r = backend_schema(&b);
	if (r == CLI_OK)
		*out = schema_ref(b.schema);
	backend_close(&b);
	return r;
}

static int from_file(const char *path, struct schema **out)
{
	AUTO_BUF set = BUF_INIT;
	char why[512] = "";

	if (!schema_arg_read(path, &set))
		return CLI_USAGE;
	if (schema_load_any(set.data, set.len, out, why, sizeof why) == 0)
		return CLI_OK;
	cli_error("%s: %s", path, why);
	return CLI_DATA;
}

static bool is_named_socket(const char *path)
{
	size_t len = strlen(path);

	return len > 5 && strcmp(path + len - 5, ".sock") == 0;
}

int schema_arg_load(const char *arg, const char *command, struct schema **out)
{
	struct stat st;

	*out = NULL;
	if (arg == NULL) {
		cli_error("%s: --schema is missing: a descriptor set (protoc --include_imports "
			  "--descriptor_set_out=FILE.pb), a service's socket or URL", command);
		return CLI_USAGE;
	}
	if (strncmp(arg, "unix:", 5) == 0)
		return from_service(arg + 5, NULL, out);
	if (strncmp(arg, "http://", 7) == 0 || strncmp(arg, "https://", 8) == 0)
		return from_service(NULL, arg, out);
	/* one that is not there cannot be told from a file but by its name */
	if (stat(arg, &st) == 0 ? S_ISSOCK(st.st_mode) : is_named_socket(arg))
		return from_service(arg, NULL, out);
	return from_file(arg, out);
}

/* --- messages --- */

const struct schema_message *schema_arg_message(const struct schema *s, const char *command,
						const char *name)
{
	const struct schema_message *m = schema_message(s, name, strlen(name));
	const char *near;

	if (m == NULL && *name == '.') /* as descriptors write it */
		m = schema_message(s, name + 1, strlen(name + 1));
	if (m != NULL)
		return m;
	near = schema_nearest_message(s, name, strlen(name));
	if (near != NULL)
		cli_error("%s: the schema has no message '%s': did you mean '%s'?", command, name, near);
	else
		cli_error("%s: the schema has no message '%s'", command, name);
	return NULL;
}
