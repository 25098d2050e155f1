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

#define HEADING "# ID SHA256 SCOPES CREATED EXPIRES REVOKED NAME: errand token writes it\n"
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

const char *token_ended(const struct token *t, int64_t now_s)
{
	if (t->revoked_s != 0)
		return "the token was revoked";
	return t->expires_s != 0 && t->expires_s <= now_s ? "the token has expired" : NULL;
}

static void token_deinit(struct token *t)
{
	free(t->above);
	free(t->name);
	free(t->scopes);
	grants_deinit(&t->grants);
}

void token_file_deinit(struct token_file *f)
{
	for (size_t i = 0; i < f->n; i++)
		token_deinit(&f->items[i]);
	free(f->items);
	free(f->below);
	*f = (struct token_file){0};
}

/* One text behind the other; takes both. */
static char *join(char *a, char *b)
{
	char *both;

	if (a == NULL || b == NULL)
		return a != NULL ? a : b;
	both = xasprintf("%s%s", a, b);
	free(a);
	free(b);
	return both;
}

void token_file_remove(struct token_file *f, size_t i)
{
	char **next = i + 1 < f->n ? &f->items[i + 1].above : &f->below;

	*next = join(f->items[i].above, *next);
	f->items[i].above = NULL;
	token_deinit(&f->items[i]);
	memmove(&f->items[i], &f->items[i + 1], (f->n - i - 1) * sizeof *f->items);
	f->n--;
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

static const struct token *same_token(const struct token_file *f, const struct token *t)
{
	for (size_t i = 0; i < f->n; i++)
		if (memcmp(f->items[i].hash, t->hash, TOKEN_HASH) == 0)
			return &f->items[i];
	return NULL;
}

static bool has_token(const char *line)
{
	line += strspn(line, " \t\r\n");
	return *line != '\0' && *line != '#';
}

static int read_line(struct token_file *f, char *line, char *why, size_t why_size)
{
	char *field[N_FIELDS + 1], *save, *word = strtok_r(line, " \t\r\n", &save);
	struct token t = {0};
	size_t n = 0;

	for (; word != NULL && n <= N_FIELDS; word = strtok_r(NULL, " \t\r\n", &save))
		field[n++] = word;
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
	if (same_token(f, &t) != NULL) { /* which of the two counted? */
		snprintf(why, why_size, "the token %s is there already, as %s", t.id, same_token(f, &t)->name);
		token_deinit(&t);
		return -1;
	}
	t.above = f->below;
	f->below = NULL;
	f->items = xrealloc(f->items, (f->n + 1) * sizeof *f->items);
	f->items[f->n++] = t;
	return 0;
}

static int take_line(struct token_file *f, char *line, size_t len, char *why, size_t why_size)
{
	if (strlen(line) != len || len > LINE_MAX_BYTES) {
		snprintf(why, why_size, "a line is at most %d bytes of text", LINE_MAX_BYTES);
		return -1;
	}
	if (has_token(line))
		return read_line(f, line, why, why_size);
	f->below = join(f->below, xasprintf("%s%s", line, line[len - 1] == '\n' ? "" : "\n"));
	return 0;
}

static int read_lines(FILE *in, const char *path, struct token_file *out, char *why, size_t why_size)
{
	AUTO_FREE char *line = NULL;
	size_t size = 0;
	char what[256];
	ssize_t len;

	for (unsigned n = 1; (len = getline(&line, &size, in)) > 0; n++)
		if (take_line(out, line, (size_t)len, what, sizeof what) < 0) {
			snprintf(why, why_size, "%s:%u: %s", path, n, what);
			return -ERRAND_INVALID_ARGUMENT;
		}
	if (!ferror(in))
		return 0;
	snprintf(why, why_size, "%s: it cannot be read to its end: %s", path, strerror(errno));
	return -ERRAND_PERMISSION_DENIED;
}

int token_file_read(const char *path, struct token_file *out, char *why, size_t why_size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), r = 0; /* no waiting, whatever it is */
	FILE *in = fd >= 0 ? fdopen(fd, "r") : NULL;
	struct stat st;

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

static void put_all(FILE *out, const struct token_file *file)
{
	if (file->below == NULL && (file->n == 0 || (file->n == 1 && file->items[0].above == NULL)))
		fputs(HEADING, out);
	for (size_t i = 0; i < file->n; i++) {
		fputs(file->items[i].above != NULL ? file->items[i].above : "", out);
		put_token(out, &file->items[i]);
	}
	fputs(file->below != NULL ? file->below : "", out);
}

/* The file itself, where path is a link to it. */
static char *true_path(const char *path)
{
	char *real = realpath(path, NULL);

	return real != NULL ? real : xstrdup(path);
}

int token_file_write(const char *path, const struct token_file *file)
{
	AUTO_FREE char *real = true_path(path), *new = xasprintf("%s.new", real);
	FILE *out;
	int fd, r;

	unlink(new); /* of somebody who was killed */
	fd = open(new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || (out = fdopen(fd, "w")) == NULL)
		return -errno;
	r = like_old(fd, real);
	errno = EIO;
	put_all(out, file);
	if (r == 0 && (ferror(out) || fflush(out) != 0 || fsync(fd) < 0)) /* the disk may be full in its midst */
		r = -errno;
	if (fclose(out) != 0 && r == 0)
		r = -errno;
	if (r == 0 && rename(new, real) < 0)
		r = -errno;
	if (r < 0)
		unlink(new);
	return r < 0 ? r : sync_dir(real);
}

int token_file_lock(const char *path)
{
	AUTO_FREE char *real = true_path(path), *name = xasprintf("%s.lock", real);
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
