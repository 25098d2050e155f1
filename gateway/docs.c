/* See docs.h. The files are shared by all threads: a mutex guards their reading,
 * after which they do not change. */
#define _GNU_SOURCE
#include "gateway/docs.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/log.h"
#include "errand/status.h"
#include "gateway/docs_page.h"
#include "gateway/encoding.h"
#include "gateway/etag.h"
#include "gateway/gzip.h"
#include "gateway/problem.h"

#define HTML "text/html; charset=utf-8"
#define CSS "text/css; charset=utf-8"
#define SCRIPT "text/javascript; charset=utf-8"

enum { FILE_MAX = 16 << 20, TAG_SIZE = 24 };

struct docs_file {
	const char *name;  /* in the directory, and below /docs/ */
	const char *type;
	struct buf content;
	struct buf packed;  /* with gzip; empty when that is off or does not pay */
	char tag[TAG_SIZE]; /* ETag; "" until content has been read */
};

static struct docs_file files[] = {
	{"index.html", HTML, {0}, {0}, ""},
	{"docs.js", SCRIPT, {0}, {0}, ""},
	{"favicon-32x32.png", "image/png", {0}, {0}, ""},
	{"swagger-ui.css", CSS, {0}, {0}, ""},
	{"swagger-ui-bundle.js", SCRIPT, {0}, {0}, ""},
};
static pthread_mutex_t files_lock = PTHREAD_MUTEX_INITIALIZER; /* guards their reading */
static int dir_fd = -1; /* -1: the built-in page */
static bool is_off;

/* --- the directory --- */

/* The file, which is no link and nothing but a file; -1 with errno. */
static int file_open(const struct docs_file *f, struct stat *st)
{
	int fd = openat(dir_fd, f->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0 && fstat(fd, st) == 0 && S_ISREG(st->st_mode) && st->st_size <= FILE_MAX)
		return fd;
	if (fd >= 0) {
		close(fd);
		errno = EINVAL;
	}
	return -1;
}

int docs_open(const char *dir, char *why, size_t why_size)
{
	struct stat st;

	is_off = strcmp(dir, "off") == 0;
	if (is_off)
		return 0;
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0) {
		snprintf(why, why_size, "%s", strerror(errno));
		return 1;
	}
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		int fd = file_open(&files[i], &st);

		if (fd >= 0) {
			close(fd);
			continue;
		}
		snprintf(why, why_size, "%s: %s", files[i].name,
			 errno == EINVAL || errno == ELOOP ? "not a file" : strerror(errno));
		docs_close();
		return 1;
	}
	return 0;
}

void docs_close(void)
{
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		buf_deinit(&files[i].content);
		buf_deinit(&files[i].packed);
		files[i].tag[0] = '\0';
	}
	util_closep(&dir_fd);
	dir_fd = -1;
	is_off = false;
}

/* --- contents --- */

/* FNV-1a: the tag of bytes that nobody hostile chooses. */
static void tag_make(struct bytes content, char tag[TAG_SIZE])
{
	uint64_t hash = 0xcbf29ce484222325u;

	for (size_t i = 0; i < content.len; i++)
		hash = (hash ^ content.data[i]) * 0x100000001b3u;
	snprintf(tag, TAG_SIZE, "\"%016llx\"", (unsigned long long)hash);
}

static bool file_read(struct docs_file *f)
{
	struct stat st;
	AUTO_CLOSE int fd = file_open(f, &st);
	size_t size;
	ssize_t n = -1;

	if (fd < 0)
		return false;
	size = (size_t)st.st_size;
	buf_reset(&f->content);
	while (f->content.len < size && buf_reserve(&f->content, size - f->content.len) != NULL &&
	       (n = read(fd, f->content.data + f->content.len, size - f->content.len)) > 0)
		f->content.len += (size_t)n;
	return f->content.len == size;
}

static bool file_make(struct docs_file *f, const struct gateway_thread *t)
{
	const int64_t least = t->config->gzip_min;

	if (!file_read(f))
		return false;
	if (least >= 0 && (int64_t)f->content.len >= least)
		gzip_pack(t->gzip, buf_bytes(&f->content), &f->packed);
	tag_make(buf_bytes(&f->content), f->tag);
	return true;
}

/* Is it in memory now? */
static bool file_have(struct docs_file *f, const struct gateway_thread *t)
{
	bool have;

	pthread_mutex_lock(&files_lock);
	have = f->tag[0] != '\0' || file_make(f, t);
	pthread_mutex_unlock(&files_lock);
	if (!have)
		log_error("cannot read a file of /docs", "file=%s why=\"%s\"", f->name, strerror(errno));
	return have;
}

static struct docs_file *file_find(const char *name)
{
	if (*name == '\0')
		return &files[0];
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (strcmp(files[i].name, name) == 0)
			return &files[i];
	return NULL;
}

/* --- answers --- */

/* Nothing but what this gateway serves itself: no script or style in the page, no
 * other origin, no frame around it. data: images are in Swagger UI's style sheet. */
static const char policy[] =
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
	"connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

static void answer_headers(struct http_request *r)
{
	http_set_header(r, "Content-Security-Policy", policy);
	http_set_header(r, "X-Content-Type-Options", "nosniff");
	http_set_header(r, "X-Frame-Options", "DENY");
	http_set_header(r, "Referrer-Policy", "same-origin");
	http_set_header(r, "Cross-Origin-Opener-Policy", "same-origin");
	http_set_header(r, "Cross-Origin-Resource-Policy", "same-origin");
	http_set_header(r, "Cache-Control", "no-cache"); /* asked again each time, by its tag */
}

/* The headers of every answer, and 304 when the client has this one. */
static bool answer_known(struct http_request *r, const char *tag)
{
	struct buf none = BUF_INIT;
	bool known = etag_known(r, tag);

	answer_headers(r);
	http_set_header(r, "ETag", tag);
	if (known)
		http_reply(r, 304, NULL, &none);
	return known;
}

static const char *header_of(const void *from, const char *name, unsigned n)
{
	return http_header_nth(from, name, n);
}

static bool likes_gzip(const struct http_request *r)
{
	return encoding_choose(&(struct request_source){"", {NULL, 0}, header_of, r}).gzip;
}

/* One of the two forms of a file, each with its tag. */
static void answer_form(struct http_request *r, const struct docs_file *f)
{
	char tag[ETAG_MAX];
	const bool packs = f->packed.len > 0 && likes_gzip(r) && etag_packed(f->tag, tag);

	if (f->packed.len > 0)
		http_set_header(r, "Vary", "Accept-Encoding");
	if (answer_known(r, packs ? tag : f->tag))
		return;
	if (packs)
		http_set_header(r, "Content-Encoding", "gzip");
	http_reply_kept(r, 200, f->type, buf_bytes(packs ? &f->packed : &f->content));
}

static void answer_file(struct http_request *r, const struct gateway_thread *t, struct docs_file *f)
{
	if (f == NULL)
		problem_reply(r, 404, ERRAND_NOT_FOUND, "/docs/ has no such file");
	else if (!file_have(f, t))
		problem_reply(r, 500, ERRAND_INTERNAL, "%s cannot be read", f->name);
	else
		answer_form(r, f);
}

/* The built-in page and its style sheet. */
static void answer_page(struct http_request *r, const struct gateway_thread *t, const char *name)
{
	const struct snapshot *s = t->snapshot;
	struct buf body = BUF_INIT;
	bool style = strcmp(name, DOCS_PAGE_STYLE) == 0;
	char tag[TAG_SIZE];

	if (*name != '\0' && !style) {
		answer_file(r, t, NULL);
		return;
	}
	if (style)
		docs_page_style(&body);
	else
		docs_page_write(&body, s != NULL ? s->schema : NULL);
	if (style || s != NULL) {
		tag_make(buf_bytes(&body), tag);
		if (answer_known(r, tag))
			buf_deinit(&body);
		else
			http_reply(r, 200, style ? CSS : HTML, &body);
	} else {
		answer_headers(r);
		http_set_header(r, "Retry-After", "1");
		http_reply(r, 503, HTML, &body);
	}
}

static bool answer_off(struct http_request *r)
{
	if (is_off)
		problem_reply(r, 404, ERRAND_NOT_FOUND, "this gateway serves no documentation (--docs off)");
	return is_off;
}

void docs_redirect(struct http_request *r, const struct gateway_thread *t)
{
	struct buf none = BUF_INIT;

	if (answer_off(r))
		return;
	http_set_header(r, "Location", "docs/"); /* right behind a proxy's prefix as well */
	http_reply(r, 308, NULL, &none);
}

void docs_answer(struct http_request *r, const struct gateway_thread *t)
{
	const char *name = http_path(r) + strlen("/docs/");

	if (answer_off(r))
		return;
	if (dir_fd < 0)
		answer_page(r, t, name);
	else
		answer_file(r, t, file_find(name));
}
