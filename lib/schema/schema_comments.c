/* schema_comments.c: leading comments out of SourceCodeInfo, for people: OpenAPI
 * and `errand describe`. A location's path says which declaration it is at. */
#include "base/err.h"
#include "base/json.h"
#include "schema/loader.h"

enum {
	FILE_MESSAGE = 4, FILE_SERVICE = 6, FILE_SOURCE_INFO = 9, SERVICE_METHOD = 2,
	INFO_LOCATION = 1, LOCATION_PATH = 1, LOCATION_LEADING = 3,
};

struct location {
	uint32_t path[PATH_MAX_LEN];
	size_t path_len; /* PATH_MAX_LEN + 1: longer than we look */
	struct bytes leading;
};

static void add_path(struct location *loc, uint64_t v)
{
	if (loc->path_len < PATH_MAX_LEN)
		loc->path[loc->path_len] = (uint32_t)v;
	if (loc->path_len <= PATH_MAX_LEN)
		loc->path_len++;
}

static bool read_location(struct bytes raw, struct location *loc)
{
	struct pbuf_reader r = pbuf_reader(raw.data, raw.len);
	struct pbuf_field f;
	uint64_t v;

	loc->path_len = 0;
	loc->leading = (struct bytes){0};
	while (pbuf_next(&r, &f)) {
		struct pbuf_reader in = pbuf_reader(f.bytes.data, f.bytes.len);

		if (f.number == LOCATION_LEADING && f.wire == PBUF_LEN)
			loc->leading = f.bytes;
		if (f.number != LOCATION_PATH)
			continue;
		if (f.wire == PBUF_VARINT)
			add_path(loc, f.value);
		while (in.p < in.end && pbuf_read_varint(&in, &v))
			add_path(loc, v);
	}
	return !r.bad && loc->leading.len > 0 && loc->path_len <= PATH_MAX_LEN;
}

/* Without the space after each // and the newlines at the end. */
static const char *clean(struct schema *s, struct bytes b)
{
	char *out = schema_alloc(s, b.len + 1), *w = out;
	bool at_start = true;

	if (json_utf8_valid(b.data, b.len) != b.len)
		return NULL;
	for (size_t i = 0; i < b.len; i++) {
		char c = (char)b.data[i];

		if (c == '\0' || (at_start && c == ' ')) {
			at_start = false;
			continue;
		}
		at_start = c == '\n';
		*w++ = c;
	}
	while (w > out && (w[-1] == '\n' || w[-1] == ' '))
		w--;
	*w = '\0';
	return *out ? out : NULL;
}

static void attach_service(struct loader *l, size_t file, const struct location *loc)
{
	for (size_t i = 0; i < l->n_services; i++) {
		struct pending_service *p = &l->services[i];

		if (p->file != file || p->index != loc->path[1])
			continue;
		if (loc->path_len == 2)
			p->service->comment = clean(l->s, loc->leading);
		else if (loc->path_len == 4 && loc->path[2] == SERVICE_METHOD &&
			 loc->path[3] < p->service->n_methods)
			p->service->methods[loc->path[3]].comment = clean(l->s, loc->leading);
	}
}

static void attach(struct loader *l, size_t file, const struct location *loc)
{
	if (loc->path_len < 2)
		return;
	if (loc->path[0] == FILE_SERVICE) {
		attach_service(l, file, loc);
		return;
	}
	if (loc->path[0] != FILE_MESSAGE)
		return;
	for (size_t i = 0; i < l->n_messages; i++) {
		struct pending_message *p = &l->messages[i];

		if (p->file == file && p->path_len == loc->path_len &&
		    memcmp(p->path, loc->path, loc->path_len * sizeof *loc->path) == 0)
			p->message->comment = clean(l->s, loc->leading);
	}
}

int loader_comments(struct loader *l, size_t file)
{
	struct bytes raw = l->files[file].raw;
	struct pbuf_reader r = pbuf_reader(raw.data, raw.len);
	struct pbuf_field f, in;
	struct location loc;

	while (pbuf_next(&r, &f)) {
		struct pbuf_reader info = pbuf_reader(f.bytes.data, f.bytes.len);

		if (f.number != FILE_SOURCE_INFO || f.wire != PBUF_LEN)
			continue;
		while (pbuf_next(&info, &in))
			if (in.number == INFO_LOCATION && in.wire == PBUF_LEN &&
			    read_location(in.bytes, &loc))
				attach(l, file, &loc);
		if (info.bad)
			return loader_fail(l, "%s: its source_code_info does not parse", l->files[file].name);
	}
	return 0;
}
