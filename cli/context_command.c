/* context_command.c: `errand context`: the services with names (context.h). The file is
 * people's own: what they wrote stays as it is, but for the section that is removed. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "cli/cli.h"
#include "cli/context.h"
#include "cli/schema_arg.h"
#include "cli/target.h"

struct context_conf {
	const char *url, *socket, *token_file, *ca, *cert, *key;
	bool insecure, json;
};

#define OFF(field) offsetof(struct context_conf, field)
static const struct opt options[] = {
	{"url", 'u', OPT_STRING, OFF(url), NULL, 0, 0, "URL", "add: where its gateway is"},
	{"socket", 's', OPT_STRING, OFF(socket), NULL, 0, 0, "PATH", "add: or its own socket"},
	{"token-file", 0, OPT_STRING, OFF(token_file), NULL, 0, 0, "FILE", "add: holds the token; mode 0600"},
	{"ca", 0, OPT_STRING, OFF(ca), NULL, 0, 0, "FILE", "add: certificates to trust, instead of the system's"},
	{"cert", 0, OPT_STRING, OFF(cert), NULL, 0, 0, "FILE", "add: the certificate to show"},
	{"key", 0, OPT_STRING, OFF(key), NULL, 0, 0, "FILE", "add: its key"},
	{"insecure", 0, OPT_FLAG, OFF(insecure), NULL, 0, 0, NULL, "add: the token may go over http://"},
	{"json", 'j', OPT_FLAG, OFF(json), NULL, 0, 0, NULL, "output for programs: JSON, one context a line"},
};
#undef OFF

static const char usage[] =
	"errand context VERB [options] [CONTEXT]\n\n"
	"Verbs; CONTEXT is a name:\n"
	"  list    all of them; * is the one in use\n"
	"  use     commands that are not told otherwise go there from now on; `-`: nowhere\n"
	"  show    what is said of one; without CONTEXT the one in use\n"
	"  add     a new one: --url URL or --socket PATH\n"
	"  remove  takes it away";

/* --- showing --- */

static void put_member(struct buf *b, const char *name, const char *value)
{
	if (value == NULL)
		return;
	buf_append_str(b, b->len > 1 ? "," : "");
	json_put_cstr(b, name);
	buf_append_byte(b, ':');
	json_put_cstr(b, value);
}

static void show_json_line(const struct context *c, bool current)
{
	AUTO_BUF b = BUF_INIT;

	buf_append_byte(&b, '{');
	put_member(&b, "name", c->name);
	put_member(&b, "url", c->url);
	put_member(&b, "socket", c->socket);
	put_member(&b, "token_file", c->token_file);
	put_member(&b, "ca", c->ca);
	put_member(&b, "cert", c->cert);
	put_member(&b, "key", c->key);
	printf("%s%s%s}\n", buf_cstr(&b), c->insecure ? ",\"insecure\":true" : "", current ? ",\"current\":true" : "");
}

static bool is_current(const struct contexts *all, const struct context *c)
{
	return all->current != NULL && strcmp(all->current, c->name) == 0;
}

static int context_list(const struct contexts *all, const struct context_conf *conf, const char *name)
{
	int width = 4;

	for (size_t i = 0; i < all->n; i++)
		width = MAX(width, (int)strlen(all->list[i].name));
	for (size_t i = 0; i < all->n; i++) {
		const struct context *c = &all->list[i];

		if (conf->json)
			show_json_line(c, is_current(all, c));
		else
			printf("%c %-*s  %s\n", is_current(all, c) ? '*' : ' ', width, c->name, c->url != NULL ? c->url : c->socket);
	}
	if (all->n == 0 && !conf->json)
		fprintf(stderr, "no contexts: `errand context add NAME --url URL` makes one\n");
	return CLI_OK;
}

static void print_value(const char *key, const char *value)
{
	if (value != NULL)
		printf("%s = %s\n", key, value);
}

static int context_show(const struct contexts *all, const struct context_conf *conf, const char *name)
{
	const struct context *c;

	if (name == NULL)
		name = all->current;
	if (name == NULL) {
		cli_error("no context is in use: `errand context use NAME` takes one");
		return CLI_NOT_FOUND;
	}
	c = contexts_need(all, name);
	if (c == NULL)
		return CLI_NOT_FOUND;
	if (conf->json) {
		show_json_line(c, is_current(all, c));
		return CLI_OK;
	}
	printf("[context %s]\n", c->name);
	print_value("url", c->url);
	print_value("socket", c->socket);
	print_value("token-file", c->token_file);
	print_value("ca", c->ca);
	print_value("cert", c->cert);
	print_value("key", c->key);
	print_value("insecure", c->insecure ? "yes" : NULL);
	return CLI_OK;
}

/* --- writing --- */

static int failed(const char *path)
{
	cli_error("%s: %s", path, strerror(errno));
	return CLI_FAILED;
}

static bool make_folders(const char *path)
{
	AUTO_FREE char *copy = xstrdup(path);

	for (char *p = strchr(copy + 1, '/'); p != NULL; p = strchr(p + 1, '/')) {
		*p = '\0';
		if (mkdir(copy, 0700) < 0 && errno != EEXIST)
			return false;
		*p = '/';
	}
	return true;
}

/* The whole file at once, or nothing of it. */
static int write_file(const char *path, const void *data, size_t len)
{
	AUTO_FREE char *next = xasprintf("%s.new", path);
	AUTO_CLOSE int fd = -1;

	if (!make_folders(path))
		return failed(path);
	fd = open(next, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return failed(next);
	if (write(fd, data, len) != (ssize_t)len || fsync(fd) < 0 || rename(next, path) < 0) {
		int r = failed(next);

		unlink(next);
		return r;
	}
	return CLI_OK;
}

static int context_use(const struct contexts *all, const struct context_conf *conf, const char *name)
{
	AUTO_FREE char *line = xasprintf("%s\n", name);

	if (strcmp(name, "-") == 0)
		return unlink(all->current_path) == 0 || errno == ENOENT ? CLI_OK : failed(all->current_path);
	if (contexts_need(all, name) == NULL)
		return CLI_NOT_FOUND;
	return write_file(all->current_path, line, strlen(line));
}

static void put_line(struct buf *b, const char *key, const char *value)
{
	if (value != NULL)
		buf_printf(b, "%s = %s\n", key, value);
}

static bool is_good_name(const char *name)
{
	return *name != '\0' && *name != '-' && strlen(name) < 100 &&
		strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == strlen(name);
}

static bool is_one_line(const struct context_conf *c)
{
	const char *values[] = {c->url, c->socket, c->token_file, c->ca, c->cert, c->key};

	for (size_t i = 0; i < ARRAY_LEN(values); i++)
		if (values[i] != NULL && strpbrk(values[i], "\r\n;") != NULL)
			return false;
	return true;
}

static int check_new(const struct contexts *all, const struct context_conf *c, const char *name)
{
	if (!is_good_name(name))
		cli_error("'%s' is no name for a context: letters, digits, '.', '_' and '-'", name);
	else if ((c->url == NULL) == (c->socket == NULL))
		cli_error("context add: either --url URL or --socket PATH");
	else if (!is_one_line(c))
		cli_error("context add: a value with a line break or a semicolon");
	else if (contexts_find(all, name) != NULL)
		cli_error("there is a context '%s' already: `errand context remove %s` takes it away", name, name);
	else if (c->url == NULL || target_url_good(c->url))
		return CLI_OK;
	return CLI_USAGE;
}

static int context_add(const struct contexts *all, const struct context_conf *c, const char *name)
{
	AUTO_BUF text = BUF_INIT;
	int r = check_new(all, c, name);

	if (r != CLI_OK)
		return r;
	if (access(all->path, F_OK) == 0 && !schema_arg_read(all->path, &text))
		return CLI_FAILED;
	if (text.len > 0)
		buf_append_str(&text, text.data[text.len - 1] == '\n' ? "\n" : "\n\n");
	buf_printf(&text, "[context %s]\n", name);
	put_line(&text, "url", c->url);
	put_line(&text, "socket", c->socket);
	put_line(&text, "token-file", c->token_file);
	put_line(&text, "ca", c->ca);
	put_line(&text, "cert", c->cert);
	put_line(&text, "key", c->key);
	put_line(&text, "insecure", c->insecure ? "yes" : NULL);
	return write_file(all->path, text.data, text.len);
}

static int context_remove(const struct contexts *all, const struct context_conf *conf, const char *name)
{
	const struct context *gone = contexts_need(all, name);
	AUTO_BUF text = BUF_INIT, kept = BUF_INIT;
	const char *p, *end;
	bool inside = false;

	if (gone == NULL)
		return CLI_NOT_FOUND;
	if (!schema_arg_read(all->path, &text))
		return CLI_FAILED;
	p = buf_cstr(&text);
	end = p + text.len;
	for (int line = 1; p < end; line++) {
		const char *stop = memchr(p, '\n', (size_t)(end - p));
		size_t len = (size_t)((stop != NULL ? stop + 1 : end) - p);

		if (p[strspn(p, " \t")] == '[' || line == gone->line)
			inside = line == gone->line;
		if (!inside)
			buf_append(&kept, p, len);
		p += len;
	}
	if (is_current(all, gone))
		unlink(all->current_path);
	return write_file(all->path, kept.data, kept.len);
}

/* --- the command --- */

enum need { NO_NAME, MAY_NAME, ONE_NAME };

static const struct verb {
	const char *name;
	int (*run)(const struct contexts *all, const struct context_conf *conf, const char *name);
	enum need need;
} verbs[] = {
	{"list", context_list, NO_NAME}, {"use", context_use, ONE_NAME}, {"show", context_show, MAY_NAME},
	{"add", context_add, ONE_NAME}, {"remove", context_remove, ONE_NAME},
};

int context_command(int argc, char **argv)
{
	struct context_conf conf;
	int first = cli_parse(options, ARRAY_LEN(options), &conf, argc, argv, usage), n = argc - first, r;
	const struct verb *v = CLI_FIND(verbs, "verb", n > 0 ? argv[first] : "list");
	struct contexts all;

	if (v == NULL)
		return CLI_USAGE;
	if (n > 2 || (v->need == NO_NAME && n > 1) || (v->need == ONE_NAME && n < 2)) {
		cli_error("context %s: %s", v->name, v->need == ONE_NAME ? "give one NAME" : "too many operands");
		return CLI_USAGE;
	}
	cli_errors_as_json(conf.json);
	r = contexts_load(&all);
	if (r == CLI_OK && all.path == NULL) {
		cli_error("neither XDG_CONFIG_HOME nor HOME says where contexts are kept");
		r = CLI_FAILED;
	}
	if (r == CLI_OK)
		r = v->run(&all, &conf, n > 1 ? argv[first + 1] : NULL);
	contexts_deinit(&all);
	return r;
}
