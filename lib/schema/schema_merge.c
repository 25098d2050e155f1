/* schema_merge.c: several descriptor sets become one: each file once, by name.
 * Two files of one name must be the same file, or a module was built against
 * another version of it. */
#include <stdio.h>

#include "base/err.h"
#include "base/pbuf.h"
#include "schema/schema.h"

struct merged_file {
	struct bytes name, raw;
};

static struct bytes file_name(struct bytes raw)
{
	struct pbuf_reader r = pbuf_reader(raw.data, raw.len);
	struct pbuf_field f;
	struct bytes name = {0};

	while (pbuf_next(&r, &f))
		if (f.number == 1 && f.wire == PBUF_LEN)
			name = f.bytes;
	return name;
}

/* What a type means is in all but the comments (field 9) and the order of bytes. */
static uint64_t fingerprint(struct bytes raw)
{
	struct pbuf_reader r = pbuf_reader(raw.data, raw.len);
	struct pbuf_field f;
	uint64_t sum = 0;

	while (pbuf_next(&r, &f))
		if (f.number != 9)
			sum += map_hash(f.start, (size_t)(r.p - f.start));
	return sum;
}

/* Public files are known by number and differ harmlessly: errand's own short
 * google/api/http.proto beside a user's copy of the original. */
static bool is_public(struct bytes name)
{
	static const char *const prefixes[] = {"google/", "buf/", "errand/"};

	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
		if (name.len > strlen(prefixes[i]) &&
		    memcmp(name.data, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return false;
}

static const struct merged_file *find(const struct merged_file *files, size_t n, struct bytes name)
{
	for (size_t i = 0; i < n; i++)
		if (files[i].name.len == name.len &&
		    memcmp(files[i].name.data, name.data, name.len) == 0)
			return &files[i];
	return NULL;
}

int schema_merge(struct buf *out, const struct bytes *sets, size_t n, char *why, size_t why_size)
{
	AUTO_FREE struct merged_file *files = NULL;
	size_t n_files = 0;

	for (size_t i = 0; i < n; i++) {
		struct pbuf_reader r = pbuf_reader(sets[i].data, sets[i].len);
		struct pbuf_field f;

		while (pbuf_next(&r, &f)) {
			const struct merged_file *old;
			struct bytes name;

			if (f.number != 1 || f.wire != PBUF_LEN)
				continue;
			name = file_name(f.bytes);
			old = name.len == 0 ? NULL : find(files, n_files, name);
			if (old == NULL) {
				files = xrealloc(files, (n_files + 1) * sizeof *files);
				files[n_files++] = (struct merged_file){name, f.bytes};
				buf_append(out, f.start, (size_t)(r.p - f.start));
			} else if (!is_public(name) &&
				   fingerprint(old->raw) != fingerprint(f.bytes)) {
				snprintf(why, why_size, "set %zu has another version of %.*s than an "
					 "earlier one", i + 1, (int)MIN(name.len, 200),
					 (const char *)name.data);
				return -ERRAND_INVALID_ARGUMENT;
			}
		}
		if (r.bad) {
			snprintf(why, why_size, "set %zu is not a FileDescriptorSet", i + 1);
			return -ERRAND_INVALID_ARGUMENT;
		}
	}
	return 0;
}
