#define _GNU_SOURCE
#include "cli/target.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/context.h"

#define TOKEN_MAX 4096

/* --- the token --- */

/* One word of visible ASCII: it becomes a header's value. */
static bool token_is_word(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] <= ' ' || text[i] > '~')
			return false;
	return len > 0;
}

static bool token_take(const char *text, size_t len, char **out, char *why, size_t why_size)
{
	while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL)
		len--;
	if (!token_is_word(text, len)) {
		snprintf(why, why_size, len == 0 ? "is empty" : "is no token: one word of letters, digits and signs");
		return false;
	}
	*out = xstrndup(text, len);
	return true;
}

/* Only its owner, and at most a group's readers, may know it. */
static bool token_file_is_private(int fd, char *why, size_t why_size)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || S_ISDIR(st.st_mode)) {
		snprintf(why, why_size, "is no file");
		return false;
	}
	if (!S_ISREG(st.st_mode) || (st.st_mode & 0037) == 0)
		return true;
	snprintf(why, why_size, "has mode %04o: others could read or change the token: chmod 600",
		 (unsigned)st.st_mode & 07777);
	return false;
}

bool target_read_token(const char *path, char **out, char *why, size_t why_size)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	char text[TOKEN_MAX + 1];
	ssize_t n;

	if (fd < 0) {
		snprintf(why, why_size, "%s", strerror(errno));
		return false;
	}
	if (!token_file_is_private(fd, why, why_size))
		return false;
	n = read(fd, text, sizeof text);
	if (n < 0 || n > TOKEN_MAX) {
		snprintf(why, why_size, "%s", n < 0 ? strerror(errno) : "is too long for a token");
		return false;
	}
	return token_take(text, (size_t)n, out, why, why_size);
}

static int find_token(struct target *t, const char *file)
{
	const char *named = getenv("ERRAND_TOKEN_FILE"), *given = getenv("ERRAND_TOKEN");
	char why[256] = "";

	if (named != NULL && *named != '\0')
		file = named;
	else if (given != NULL && *given != '\0') {
		if (token_take(given, strlen(given), &t->token, why, sizeof why))
			return CLI_OK;
		cli_error("ERRAND_TOKEN %s", why);
		return CLI_USAGE;
	}
	if (file == NULL || target_read_token(file, &t->token, why, sizeof why))
		return CLI_OK;
	cli_error("token file %s: %s", file, why);
	return CLI_USAGE;
}

/* --- the URL --- */

static bool is_loopback(const char *url)
{
	const char *host = url + strlen("http://");
	size_t len = *host == '[' ? strcspn(host, "]/") + 1 : strcspn(host, ":/");

	if (len > 4 && strncmp(host, "127.", 4) == 0)
		return strspn(host, "0123456789.") >= len;
	return (len == 9 && strncasecmp(host, "localhost", 9) == 0) || (strncmp(host, "[::1]", 5) == 0 && strchr(":/", host[5]) != NULL);
}

bool target_url_good(const char *url)
{
	size_t scheme = strncasecmp(url, "https://", 8) == 0 ? 8 : strncasecmp(url, "http://", 7) == 0 ? 7 : 0;
	const char *host = url + scheme;

	if (strncmp(url, "unix:", 5) == 0 && url[5] != '\0')
		return true;
	if (scheme == 0 || *host == '\0') {
		cli_error("'%s' is no URL: it is http://HOST[:PORT], https://HOST[:PORT] or unix:PATH", url);
		return false;
	}
	if (strpbrk(url, "?# \t\r\n") == NULL && memchr(host, '@', strcspn(host, "/")) == NULL)
		return true;
	cli_error("'%s': a URL here has neither query nor user: a token goes into a file, see ERRAND_TOKEN_FILE", url);
	return false;
}

static int set_url(struct target *t, const char *url)
{
	size_t len = strlen(url);

	if (!target_url_good(url))
		return CLI_USAGE;
	if (strncmp(url, "unix:", 5) == 0) {
		t->unix_path = xstrdup(url + 5 + (strncmp(url + 5, "///", 3) == 0 ? 2 : 0));
		t->url = xstrdup("http://localhost");
		return CLI_OK;
	}
	while (url[len - 1] == '/')
		len--;
	t->url = xstrndup(url, len);
	return CLI_OK;
}

/* A token that anybody on the way can read is anybody's. */
static int check_way(const struct target *t)
{
	const char *allowed = getenv("ERRAND_INSECURE");

	if (t->token == NULL || t->unix_path != NULL || strncasecmp(t->url, "https:", 6) == 0 || is_loopback(t->url))
		return CLI_OK;
	if (t->insecure || (allowed != NULL && strcmp(allowed, "1") == 0))
		return CLI_OK;
	cli_error("the token would travel unencrypted to %s: use https://, or allow it with ERRAND_INSECURE=1 "
		  "or `insecure = yes` in the context", t->url);
	return CLI_USAGE;
}

static int take_url(struct target *t, const char *url, const char *token_file)
{
	int r = set_url(t, url);

	if (r == CLI_OK)
		r = find_token(t, token_file);
	return r == CLI_OK ? check_way(t) : r;
}

/* --- contexts --- */

static char *copy(const char *text)
{
	return text != NULL ? xstrdup(text) : NULL;
}

static int take_context(struct target *t, const struct context *c)
{
	t->context = xstrdup(c->name);
	t->socket = copy(c->socket);
	t->ca = copy(c->ca);
	t->cert = copy(c->cert);
	t->key = copy(c->key);
	t->insecure = c->insecure;
	return c->url != NULL ? take_url(t, c->url, c->token_file) : CLI_OK;
}

/* The one called name; NULL: the one in use, if there is one. */
static int find_context(struct target *t, const char *name)
{
	struct contexts all;
	const struct context *c = NULL;
	int r = contexts_load(&all);

	if (r == CLI_OK && name == NULL)
		name = all.current;
	if (r == CLI_OK && name != NULL) {
		c = contexts_need(&all, name);
		r = c != NULL ? take_context(t, c) : CLI_USAGE;
	}
	t->guessed = name == NULL;
	contexts_deinit(&all);
	return r;
}

/* --- all of it --- */

static const char *environment(const char *name)
{
	const char *value = getenv(name);

	return value != NULL && *value != '\0' ? value : NULL;
}

static int find(struct target *t, const struct cli_common *o)
{
	const char *url = environment("ERRAND_URL"), *context = environment("ERRAND_CONTEXT"),
		   *socket = environment("ERRAND_SOCKET");

	if ((o->url != NULL) + (o->socket != NULL) + (o->context != NULL) > 1) {
		cli_error("of --url, --socket and --context only one can name the service");
		return CLI_USAGE;
	}
	if (o->url != NULL)
		return take_url(t, o->url, NULL);
	if (o->context != NULL)
		return find_context(t, o->context);
	if (o->socket == NULL && url != NULL)
		return take_url(t, url, NULL);
	if (o->socket == NULL && context != NULL)
		return find_context(t, context);
	if (o->socket == NULL && socket == NULL)
		return find_context(t, NULL);
	t->socket = xstrdup(o->socket != NULL ? o->socket : socket);
	return CLI_OK;
}

/* Certificates for URLs that no context describes. */
static void find_certificates(struct target *t)
{
	static const char *const names[] = {"ERRAND_CA", "ERRAND_CERT", "ERRAND_KEY"};
	char **const places[] = {&t->ca, &t->cert, &t->key};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (*places[i] == NULL && environment(names[i]) != NULL)
			*places[i] = xstrdup(environment(names[i]));
}

int target_find(struct target *t, const struct cli_common *common)
{
	int r;

	*t = (struct target){0};
	r = find(t, common);
	if (r == CLI_OK && t->url != NULL)
		find_certificates(t);
	if (r != CLI_OK)
		target_deinit(t);
	return r;
}

void target_deinit(struct target *t)
{
	if (t->token != NULL)
		explicit_bzero(t->token, strlen(t->token));
	free(t->url);
	free(t->unix_path);
	free(t->socket);
	free(t->token);
	free(t->ca);
	free(t->cert);
	free(t->key);
	free(t->context);
	*t = (struct target){0};
}

const char *target_name(const struct target *t)
{
	if (t->unix_path != NULL)
		return t->unix_path;
	if (t->url != NULL)
		return t->url;
	return t->socket != NULL ? t->socket : "the standard socket";
}
