/* token.c: see token.h. SHA-256 without EVP, whose providers cost megabytes (service/registry.c). */
#define _GNU_SOURCE
#define OPENSSL_SUPPRESS_DEPRECATED
#include "base/token.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "errand/status.h"

#define PREFIX "erd_"
enum { N_FIELDS = 7, LINE_MAX_BYTES = 4096, RANDOM = 32 };

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* --- a token --- */

void token_hash(const char *text, size_t len, uint8_t out[TOKEN_HASH])
{
	SHA256_CTX c;

	SHA256_Init(&c);
	SHA256_Update(&c, text, len);
	SHA256_Final(out, &c);
	explicit_bzero(&c, sizeof c);
}

bool token_same(const uint8_t a[TOKEN_HASH], const uint8_t b[TOKEN_HASH])
{
	unsigned different = 0;

	for (size_t i = 0; i < TOKEN_HASH; i++)
		different |= a[i] ^ b[i];
	return different == 0;
}

bool token_is(const char *text, size_t len)
{
	return len == TOKEN_LEN && strncmp(text, PREFIX, strlen(PREFIX)) == 0 &&
	       strspn(text + strlen(PREFIX), alphabet) >= len - strlen(PREFIX);
}

static void token_id(struct token *t)
{
	for (size_t i = 0; i < TOKEN_ID / 2; i++)
		snprintf(t->id + 2 * i, 3, "%02x", t->hash[i]);
}

/* 256 bits, six at a time; the last character has four of them. */
static void encode(const uint8_t random[RANDOM], char *out)
{
	for (size_t bit = 0; bit < 8 * RANDOM; bit += 6) {
		unsigned two = (unsigned)random[bit / 8] << 8 | (bit / 8 + 1 < RANDOM ? random[bit / 8 + 1] : 0);

		*out++ = alphabet[two >> (10 - bit % 8) & 63];
	}
	*out = '\0';
}

int token_make(struct token *out, char text[TOKEN_LEN + 1])
{
	uint8_t random[RANDOM];

	*out = (struct token){0};
	if (getrandom(random, sizeof random, 0) != sizeof random)
		return -errno;
	memcpy(text, PREFIX, strlen(PREFIX));
	encode(random, text + strlen(PREFIX));
	explicit_bzero(random, sizeof random);
	token_hash(text, TOKEN_LEN, out->hash);
	token_id(out);
	return 0;
}

bool token_name_good(const char *name)
{
	size_t len = strlen(name);

	for (const char *p = name; *p != '\0'; p++)
		if (!isalnum((unsigned char)*p) && strchr("._@-", *p) == NULL)
			return false;
	return len > 0 && len <= TOKEN_NAME_MAX;
}

static void token_deinit(struct token *t)
{
	free(t->name);
	free(t->scopes);
	grants_deinit(&t->grants);
}

void token_file_deinit(struct token_file *f)
{
	for (size_t i = 0; i < f->n; i++)
		token_deinit(&f->items[i]);
	free(f->items);
	*f = (struct token_file){0};
}

/* --- reading --- */

static bool read_time(const char *text, int64_t *out)
{
	struct tm tm = {0};
	const char *end;

	*out = 0;
	if (strcmp(text, "-") == 0)
		return true;
	end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
	*out = end != NULL ? (int64_t)timegm(&tm) : -1;
	return end != NULL && *end == '\0' && *out > 0;
}

static bool read_hash(const char *text, uint8_t out[TOKEN_HASH])
{
	for (size_t i = 0; i < TOKEN_HASH; i++) {
		unsigned byte;

		if (!isxdigit((unsigned char)text[2 * i]) || !isxdigit((unsigned char)text[2 * i + 1]) ||
		    sscanf(text + 2 * i, "%2x", &byte) != 1)
			return false;
		out[i] = (uint8_t)byte;
	}
	return text[2 * TOKEN_HASH] == '\0';
}

static int read_fields(struct token *t, char *const *field, char *why, size_t why_size)
{
	if (!read_hash(field[1], t->hash)) {
		snprintf(why, why_size, "the second word is no SHA-256 in hexadecimal");
		return -1;
	}
	token_id(t);
	if (strcmp(t->id, field[0]) != 0) {
		snprintf(why, why_size, "the id %s does not go with its hash, which begins with %s", field[0], t->id);
		return -1;
	}
	if (grants_parse(&t->grants, field[2], why, why_size) < 0)
		return -1;
	if (!read_time(field[3], &t->created_s) || !read_time(field[4], &t->expires_s) ||
	    !read_time(field[5], &t->revoked_s)) {
		snprintf(why, why_size, "times are written 2026-11-23T02:00:00Z, or - for never");
		return -1;
	}
	if (!token_name_good(field[6])) {
		snprintf(why, why_size, "a name has 1 to %d letters, digits or . _ @ -", TOKEN_NAME_MAX);
		return -1;
	}
	t->scopes = xstrdup(field[2]);
	t->name = xstrdup(field[6]);
	return 0;
}

/* 0, also for a line without a token. */
static int read_line(struct token_file *f, char *line, char *why, size_t why_size)
{
	char *field[N_FIELDS + 1], *save, *word = strtok_r(line, " \t\r\n", &save);
	struct token t = {0};
	size_t n = 0;

	for (; word != NULL && n <= N_FIELDS; word = strtok_r(NULL, " \t\r\n", &save))
		field[n++] = word;
	if (n == 0 || field[0][0] == '#')
		return 0;
	for (size_t i = 0; i < n; i++)
		if (strncmp(field[i], PREFIX, strlen(PREFIX)) == 0) { /* it is not told on */
			snprintf(why, why_size, "this has the text of a token, which belongs nowhere: revoke it");
			return -1;
		}
	if (n != N_FIELDS) {
		snprintf(why, why_size, "a line is ID SHA256 SCOPES CREATED EXPIRES REVOKED NAME");
		return -1;
	}
	if (f->n == TOKENS_MAX) {
		snprintf(why, why_size, "more than %d tokens: remove those that are revoked", TOKENS_MAX);
		return -1;
	}
	if (read_fields(&t, field, why, why_size) < 0) {
		token_deinit(&t);
		return -1;
	}
	f->items = xrealloc(f->items, (f->n + 1) * sizeof *f->items);
	f->items[f->n++] = t;
	return 0;
}

static int read_lines(FILE *in, const char *path, struct token_file *out, char *why, size_t why_size)
{
	char line[LINE_MAX_BYTES], what[256];

	for (unsigned n = 1; fgets(line, sizeof line, in) != NULL; n++)
		if (read_line(out, line, what, sizeof what) < 0) {
			snprintf(why, why_size, "%s:%u: %s", path, n, what);
			return -ERRAND_INVALID_ARGUMENT;
		}
	return 0;
}

int token_file_read(const char *path, struct token_file *out, char *why, size_t why_size)
{
	FILE *in = fopen(path, "re");
	struct stat st;
	int r = 0;

	*out = (struct token_file){0};
	if (in == NULL) {
		r = errno == ENOENT ? -ERRAND_NOT_FOUND : -ERRAND_PERMISSION_DENIED;
		snprintf(why, why_size, "%s: %s", path, strerror(errno));
		return r;
	}
	if (fstat(fileno(in), &st) < 0 || !S_ISREG(st.st_mode)) {
		snprintf(why, why_size, "%s: this is no file", path);
		r = -ERRAND_INVALID_ARGUMENT;
	} else if (st.st_mode & 07) {
		snprintf(why, why_size, "%s: others may use it (mode %04o): chmod o-rwx", path, st.st_mode & 07777u);
		r = -ERRAND_PERMISSION_DENIED;
	}
	if (r == 0)
		r = read_lines(in, path, out, why, why_size);
	fclose(in);
	if (r < 0)
		token_file_deinit(out);
	return r;
}

/* --- writing --- */

static void put_time(FILE *out, int64_t s)
{
	time_t t = (time_t)s;
	char text[32];
	struct tm tm;

	if (s == 0 || gmtime_r(&t, &tm) == NULL)
		strcpy(text, "-");
	else
		strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
	fprintf(out, " %s", text);
}

static void put_token(FILE *out, const struct token *t)
{
	fprintf(out, "%s ", t->id);
	for (size_t i = 0; i < TOKEN_HASH; i++)
		fprintf(out, "%02x", t->hash[i]);
	fprintf(out, " %s", t->scopes);
	put_time(out, t->created_s);
	put_time(out, t->expires_s);
	put_time(out, t->revoked_s);
	fprintf(out, " %s\n", t->name);
}

/* The new file has the owner and mode of the one it replaces. */
static int like_old(int fd, const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fchown(fd, st.st_uid, st.st_gid) < 0 || fchmod(fd, st.st_mode & 0770) < 0)
		return -errno;
	return 0;
}

static int sync_dir(const char *path)
{
	AUTO_FREE char *copy = xstrdup(path);
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;

	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0)
		r = -errno;
	close(fd);
	return r;
}

int token_file_write(const char *path, const struct token_file *file)
{
	AUTO_FREE char *new = xasprintf("%s.new", path);
	int fd = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600), r;
	FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;

	if (out == NULL)
		return -errno;
	r = like_old(fd, path);
	fputs("# ID SHA256 SCOPES CREATED EXPIRES REVOKED NAME: errand token writes it\n", out);
	for (size_t i = 0; i < file->n; i++)
		put_token(out, &file->items[i]);
	if (r == 0 && (fflush(out) != 0 || fsync(fd) < 0))
		r = -errno;
	if (fclose(out) != 0 && r == 0)
		r = -errno;
	if (r == 0 && rename(new, path) < 0)
		r = -errno;
	if (r < 0)
		unlink(new);
	return r < 0 ? r : sync_dir(path);
}

int token_file_lock(const char *path)
{
	AUTO_FREE char *name = xasprintf("%s.lock", path);
	int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	return fd;
}
