#define _GNU_SOURCE
#include "cli/pages.h"

#include <stdio.h>
#include <string.h>

#include "base/pbuf.h"
#include "cli/show.h"

enum { PAGE = 500 };

static char *take_page(struct pages *p, const struct errand_reply *reply)
{
	struct pbuf_reader r = pbuf_reader(reply->payload, reply->payload_len);
	struct pbuf_field f;
	char *token = NULL;

	while (pbuf_next(&r, &f)) {
		if (f.number == 1 && f.wire == PBUF_LEN && p->n < p->limit) {
			buf_append(&p->all, f.start, (size_t)(r.p - f.start));
			p->n++;
		} else if (f.number == 2 && f.wire == PBUF_LEN && f.bytes.len > 0) {
			free(token);
			token = xstrndup((const char *)f.bytes.data, f.bytes.len);
		}
	}
	return token;
}

int pages_fetch(struct backend *b, struct pages *p, const struct buf *in)
{
	AUTO_FREE char *token = NULL;

	do {
		struct errand_reply *reply;
		AUTO_BUF request = BUF_INIT;
		int r;

		buf_append(&request, in->data, in->len);
		if (p->size_field != 0)
			pbuf_put_uint(&request, p->size_field, (uint64_t)MIN(p->limit - p->n, PAGE));
		if (token != NULL)
			pbuf_put_str(&request, p->token_field, token);
		r = backend_call(b, p->service, p->method, &request, &reply);
		if (r != CLI_OK)
			return r;
		free(token);
		token = take_page(p, reply);
		errand_reply_free(reply);
	} while (token != NULL && p->n < p->limit);
	p->more = token != NULL;
	return CLI_OK;
}

void pages_deinit(struct pages *p)
{
	buf_deinit(&p->all);
}

static int show_json_lines(struct backend *b, const struct pages *p, const char *message)
{
	struct pbuf_reader r = pbuf_reader(p->all.data, p->all.len);
	const struct schema_message *m;
	struct pbuf_field f;
	int result = backend_schema(b);

	if (result != CLI_OK)
		return result;
	m = schema_message(b->schema, message, strlen(message));
	if (m == NULL) {
		cli_error("the service's schema has no %s", message);
		return CLI_FAILED;
	}
	while (result == CLI_OK && pbuf_next(&r, &f))
		result = show_json(b->schema, m, f.bytes, false);
	return result;
}

int pages_show(struct backend *b, const struct pages *p, const char *message, struct table *t,
	       void (*put_row)(struct table *t, struct bytes item))
{
	struct pbuf_reader r = pbuf_reader(p->all.data, p->all.len);
	struct pbuf_field f;
	int result;

	if (b->common->json)
		return show_json_lines(b, p, message);
	while (pbuf_next(&r, &f))
		put_row(t, f.bytes);
	result = table_print(t);
	if (p->more && p->n > 0)
		fprintf(stderr, "... there are more: --limit\n");
	return result;
}
