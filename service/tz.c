/* tz.c: a zone is the table of its past changes, which the file lists, and a rule for
 * all later ones. Bytes of a file are checked as a peer's: what is out of order or out
 * of range refuses the file.
 *
 *   header(44) data of 32 bits | header(44) data of 64 bits | \n rule \n
 *   data: times, their types (index), types {offset, dst, name}, names, leap seconds, flags
 *
 * Files of version 1 have the first part only. */
#define _GNU_SOURCE
#include "service/tz.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "errand/status.h"
#include "service/tz_rule.h"

#define MAX_NAME 128
#define MAX_FILE (256 * 1024) /* the largest known has 4 KB */
#define MAX_OFFSET (26 * 3600)
#define MAX_TIME (1LL << 50) /* what dates can be made of without overflow */
#define HEADER 44

struct tz_change {
	int64_t at;
	int32_t offset; /* from then on */
};

struct tz {
	int32_t first; /* offset before all changes */
	bool has_rule; /* it goes on after the last change */
	struct tz_rule rule;
	size_t n;
	struct tz_change changes[];
};

/* A header's counts, and where the data behind it is. */
struct part {
	const uint8_t *data;
	int version;
	size_t n_flags_ut, n_flags_std, n_leap, n_times, n_types, n_name_bytes;
	size_t time_size; /* 4 or 8 */
};

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int64_t be_time(const uint8_t *p, size_t size)
{
	if (size == 4)
		return (int32_t)be32(p);
	return (int64_t)((uint64_t)be32(p) << 32 | be32(p + 4));
}

static size_t part_size(const struct part *p)
{
	return p->n_times * (p->time_size + 1) + p->n_types * 6 + p->n_name_bytes +
	       p->n_leap * (p->time_size + 4) + p->n_flags_std + p->n_flags_ut;
}

/* Reads a header and steps over it and its data. */
static bool part_read(struct bytes *file, size_t time_size, struct part *out)
{
	const uint8_t *p = file->data;

	if (file->len < HEADER || memcmp(p, "TZif", 4) != 0)
		return false;
	out->version = p[4] == 0 ? 1 : p[4] - '0';
	out->n_flags_ut = be32(p + 20);
	out->n_flags_std = be32(p + 24);
	out->n_leap = be32(p + 28);
	out->n_times = be32(p + 32);
	out->n_types = be32(p + 36);
	out->n_name_bytes = be32(p + 40);
	out->time_size = time_size;
	out->data = p + HEADER;
	/* Each count is below 2^32, so that the sum cannot overflow 64 bits. */
	if (out->version < 1 || out->n_types == 0 || out->n_types > 256 ||
	    out->n_times > MAX_FILE || part_size(out) > file->len - HEADER)
		return false;
	file->data += HEADER + part_size(out);
	file->len -= HEADER + part_size(out);
	return true;
}

static bool type_offset(const struct part *p, size_t type, int32_t *out)
{
	const uint8_t *types = p->data + p->n_times * (p->time_size + 1);

	if (type >= p->n_types)
		return false;
	*out = (int32_t)be32(types + type * 6);
	return *out >= -MAX_OFFSET && *out <= MAX_OFFSET;
}

static bool changes_read(const struct part *p, struct tz *z)
{
	const uint8_t *types = p->data + p->n_times * p->time_size;
	size_t i;

	if (!type_offset(p, 0, &z->first))
		return false;
	for (i = 0; i < p->n_times; i++) {
		struct tz_change *c = &z->changes[i];

		c->at = be_time(p->data + i * p->time_size, p->time_size);
		if (!type_offset(p, types[i], &c->offset) || (i > 0 && c->at <= c[-1].at))
			return false;
	}
	z->n = p->n_times;
	return true;
}

/* "\nCET-1CEST,M3.5.0,M10.5.0/3\n"; nothing between the ends of lines: no rule. */
static bool rule_read(struct bytes rest, struct tz *z)
{
	const uint8_t *end;

	if (rest.len < 2 || rest.data[0] != '\n')
		return false;
	end = memchr(rest.data + 1, '\n', rest.len - 1);
	if (end == NULL)
		return false;
	z->has_rule = end > rest.data + 1;
	return !z->has_rule || tz_rule_parse((struct bytes){rest.data + 1,
						 (size_t)(end - rest.data) - 1}, &z->rule);
}

int tz_parse(struct bytes file, struct tz **out, char *why, size_t why_size)
{
	struct part p;
	struct tz *z;
	bool ok = part_read(&file, 4, &p);

	*out = NULL;
	if (ok && p.version > 1)
		ok = part_read(&file, 8, &p);
	if (ok && p.n_leap > 0) {
		snprintf(why, why_size, "it counts leap seconds, which the clock of the "
					"system does not (take the zone without right/)");
		return -ERRAND_INVALID_ARGUMENT;
	}
	if (!ok) {
		snprintf(why, why_size, "it is not a compiled time zone (TZif)");
		return -ERRAND_DATA_LOSS;
	}
	z = xcalloc(1, sizeof *z + p.n_times * sizeof z->changes[0]);
	if (!changes_read(&p, z) || (p.version > 1 && !rule_read(file, z))) {
		snprintf(why, why_size, "its contents are damaged");
		tz_free(z);
		return -ERRAND_DATA_LOSS;
	}
	*out = z;
	return 0;
}

struct tz *tz_free(struct tz *z)
{
	free(z);
	return NULL;
}

/* A path of plain names below the folder of zones. */
static bool name_valid(const char *name)
{
	const char *p;

	if (strlen(name) > MAX_NAME)
		return false;
	for (p = name; *p != '\0'; p++) {
		bool first = p == name || p[-1] == '/';

		if (first && (*p == '/' || *p == '.' || *p == '-'))
			return false;
		if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-_./",
			   *p) == NULL)
			return false;
	}
	return p > name && p[-1] != '/';
}

static const char *zone_folder(void)
{
	const char *folder = secure_getenv("TZDIR");

	return folder != NULL && folder[0] == '/' ? folder : "/usr/share/zoneinfo";
}

static int open_failed(const char *name, const char *folder, char *why, size_t why_size)
{
	int e = errno;

	if (access(folder, X_OK) < 0) {
		snprintf(why, why_size, "%s: %s: time zones other than UTC need the package tzdata",
			 folder, strerror(errno));
		return -ERRAND_UNAVAILABLE;
	}
	if (e == ENOENT || e == ENOTDIR || e == ENAMETOOLONG || e == ELOOP) {
		snprintf(why, why_size,
			 "'%s' is not a time zone of this system (such as Europe/Berlin, UTC)", name);
		return -ERRAND_INVALID_ARGUMENT;
	}
	snprintf(why, why_size, "time zone %s: %s", name, strerror(e));
	return -ERRAND_UNAVAILABLE;
}

static int zone_read(int fd, const char *name, struct buf *out, char *why, size_t why_size)
{
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		snprintf(why, why_size, "'%s' is not a time zone, but a folder of them", name);
		return -ERRAND_INVALID_ARGUMENT;
	}
	while (out->len <= MAX_FILE && buf_reserve(out, 8192) != NULL) {
		n = read(fd, out->data + out->len, 8192);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			snprintf(why, why_size, "time zone %s: %s", name, strerror(errno));
			return -ERRAND_UNAVAILABLE;
		}
		if (n == 0)
			return 0;
		out->len += (size_t)n;
	}
	snprintf(why, why_size, "time zone %s: its file is too large", name);
	return -ERRAND_DATA_LOSS;
}

int tz_load(const char *name, struct tz **out, char *why, size_t why_size)
{
	AUTO_FREE char *path = NULL;
	AUTO_BUF file = BUF_INIT;
	AUTO_CLOSE int fd = -1;
	char reason[160];
	int code;

	*out = NULL;
	if (name[0] == '\0' || strcmp(name, "UTC") == 0 || strcmp(name, "Etc/UTC") == 0) {
		*out = xcalloc(1, sizeof **out);
		return 0;
	}
	if (!name_valid(name)) {
		snprintf(why, why_size, "this is not the name of a time zone "
					"(such as Europe/Berlin, UTC)");
		return -ERRAND_INVALID_ARGUMENT;
	}
	path = xasprintf("%s/%s", zone_folder(), name);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return open_failed(name, zone_folder(), why, why_size);
	code = zone_read(fd, name, &file, why, why_size);
	if (code < 0)
		return code;
	code = tz_parse(buf_bytes(&file), out, reason, sizeof reason);
	if (code < 0)
		snprintf(why, why_size, "time zone %s: %s", name, reason);
	/* zone.tab and its like lie there too: to the caller it is a wrong name. */
	if (code == -ERRAND_DATA_LOSS && (file.len < 4 || memcmp(file.data, "TZif", 4) != 0))
		code = -ERRAND_INVALID_ARGUMENT;
	return code;
}

/* How many changes lie at or before t. */
static size_t changes_before(const struct tz *z, int64_t t)
{
	size_t low = 0, high = z->n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (z->changes[mid].at <= t)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct tz_span tz_span(const struct tz *z, int64_t t)
{
	size_t i = changes_before(z, t);
	struct tz_span span = {INT64_MIN, INT64_MAX, z->first};

	if (i == z->n && z->has_rule) {
		span = tz_rule_span(&z->rule, MAX(MIN(t, MAX_TIME), -MAX_TIME));
		/* The table has the word for its own time. */
		if (i > 0)
			span.begin = MAX(span.begin, z->changes[i - 1].at);
		return span;
	}
	if (i > 0) {
		span.begin = z->changes[i - 1].at;
		span.offset = z->changes[i - 1].offset;
	}
	if (i < z->n)
		span.end = z->changes[i].at;
	return span;
}
