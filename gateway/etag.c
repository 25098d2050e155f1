/* See etag.h. The hash tells versions of one resource apart; nothing else hangs on
 * it: who could make two answers collide would see his own old one. */
#define _GNU_SOURCE
#include "gateway/etag.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/map.h"

#define PACKED "--gzip"

void etag_make(const uint64_t key[2], struct bytes message, char out[ETAG_MAX])
{
	snprintf(out, ETAG_MAX, "W/\"%016" PRIx64 "\"", map_hash_keyed(key, message.data, message.len));
}

bool etag_packed(const char *tag, char out[ETAG_MAX])
{
	size_t len = strlen(tag);

	if (len + sizeof PACKED > ETAG_MAX)
		return false;
	if (len < 2 || tag[0] != '"' || tag[len - 1] != '"') /* weak: the same for both */
		snprintf(out, ETAG_MAX, "%s", tag);
	else
		snprintf(out, ETAG_MAX, "%.*s" PACKED "\"", (int)len - 1, tag);
	return true;
}

/* The length of a tag of the list without the mark of packed ones. */
static size_t stripped(const char *tag, size_t len)
{
	const size_t mark = sizeof PACKED; /* with the closing quote */

	return len > mark && memcmp(tag + len - mark, PACKED "\"", mark) == 0 ? len - mark : len;
}

/* A comma between the quotes is the tag's own. */
static size_t tag_length(const char *p)
{
	const char *quote = *p == '"' ? strchr(p + 1, '"') : NULL;

	return quote != NULL ? (size_t)(quote - p) + 1 : strcspn(p, ", \t");
}

enum etag_match etag_matches(const char *list, struct bytes tag)
{
	if (tag.len > 2 && memcmp(tag.data, "W/", 2) == 0)
		tag = (struct bytes){tag.data + 2, tag.len - 2};
	while (*(list += strspn(list, " \t,")) != '\0') {
		size_t n, bare;

		if (*list == '*')
			return ETAG_SAME;
		if (strncmp(list, "W/", 2) == 0)
			list += 2;
		n = tag_length(list);
		bare = stripped(list, n);
		if (n == tag.len && memcmp(list, tag.data, n) == 0)
			return ETAG_SAME;
		if (bare < n && bare + 1 == tag.len && memcmp(list, tag.data, bare) == 0)
			return ETAG_PACKED;
		list += n;
		list += strcspn(list, ",");
	}
	return ETAG_OTHER;
}

enum etag_match etag_known(const struct http_request *r, const char *tag)
{
	const struct bytes text = {(const uint8_t *)tag, strlen(tag)};
	enum etag_match match = ETAG_OTHER;
	const char *list;

	for (unsigned i = 0; match == ETAG_OTHER && (list = http_header_nth(r, "If-None-Match", i)) != NULL; i++)
		match = etag_matches(list, text);
	return match;
}

void etag_strip(const char *list, struct buf *out)
{
	const char *mark;

	while ((mark = strstr(list, PACKED "\"")) != NULL) {
		buf_append(out, list, (size_t)(mark - list));
		list = mark + sizeof PACKED - 1;
	}
	buf_append_str(out, list);
}
