/* See link.h. It hangs on names alone, which AIP-158 gives: lists of errand.v1 and
 * those of anybody else have it. */
#define _GNU_SOURCE
#include "gateway/link.h"

#include <ctype.h>
#include <string.h>

#include "schema/route.h"
#include "schema/transcode.h"

/* What the client wrote stays as it is but for what would end the link. */
static void put_given(struct buf *out, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		uint8_t c = (uint8_t)text[i];

		if (c <= ' ' || c >= 0x7f || strchr("<>\"", c) != NULL)
			buf_printf(out, "%%%02X", c);
		else
			buf_append_byte(out, c);
	}
}

static void put_encoded(struct buf *out, struct bytes text)
{
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.data[i];

		if (isalnum(c) || (c != 0 && strchr("-._~", c) != NULL)) /* the C locale's */
			buf_append_byte(out, c);
		else
			buf_printf(out, "%%%02X", c);
	}
}

/* Is this parameter the page's token, in whichever spelling? */
static bool names_token(const char *parameter, size_t len)
{
	const char *equals = memchr(parameter, '=', len);
	AUTO_BUF name = BUF_INIT;

	len = equals != NULL ? (size_t)(equals - parameter) : len;
	return route_decode((struct bytes){(const uint8_t *)parameter, len}, false, &name) &&
		(strcmp(buf_cstr(&name), "page_token") == 0 || strcmp(buf_cstr(&name), "pageToken") == 0);
}

void link_query(const char *query, struct bytes token, struct buf *out)
{
	while (*query != '\0') {
		size_t len = strcspn(query, "&");

		if (len > 0 && !names_token(query, len)) {
			put_given(out, query, len);
			buf_append_byte(out, '&');
		}
		query += len + (query[len] == '&');
	}
	buf_append_str(out, "page_token=");
	put_encoded(out, token);
}

static const struct schema_field *text_field(const struct schema_message *m, const char *name)
{
	const struct schema_field *f = schema_field(m, name, strlen(name));

	return f != NULL && f->type == FIELD_STRING && !f->repeated ? f : NULL;
}

void link_next(const struct answer *a, struct bytes message)
{
	const struct schema_method *m = a->route->method;
	const struct schema_field *f = text_field(m->output, "next_page_token");
	AUTO_BUF token = BUF_INIT;
	AUTO_BUF link = BUF_INIT;
	const char *path = http_path(a->http);

	if (f == NULL || text_field(m->input, "page_token") == NULL ||
	    !transcode_field_text(f, message, &token) || token.len == 0)
		return;
	buf_append_byte(&link, '<');
	put_given(&link, path, strlen(path));
	buf_append_byte(&link, '?');
	link_query(http_query(a->http), buf_bytes(&token), &link);
	buf_append_str(&link, ">; rel=\"next\"");
	http_set_header(a->http, "Link", buf_cstr(&link));
}
