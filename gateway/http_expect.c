/* http_expect.c: a head whose client waits for `100 Continue`, as a request that the
 * handler may refuse before there is a body. evhttp cannot be asked for its own, so
 * one is made of the head's bytes; the guard has judged them, so this parses what is
 * well-formed. Loop thread only. */
#define _GNU_SOURCE
#include "gateway/http_private.h"

#include <assert.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

static enum evhttp_cmd_type verb_of(const char *name, size_t len)
{
	static const struct {
		const char *name;
		enum evhttp_cmd_type type;
	} verbs[] = {
		{"GET", EVHTTP_REQ_GET}, {"HEAD", EVHTTP_REQ_HEAD}, {"POST", EVHTTP_REQ_POST},
		{"PUT", EVHTTP_REQ_PUT}, {"PATCH", EVHTTP_REQ_PATCH},
		{"DELETE", EVHTTP_REQ_DELETE}, {"OPTIONS", EVHTTP_REQ_OPTIONS},
	};

	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (strlen(verbs[i].name) == len && memcmp(verbs[i].name, name, len) == 0)
			return verbs[i].type;
	return EVHTTP_REQ_GET; /* the guard knows no other */
}

/* line without its CRLF: "POST /x HTTP/1.1", which the guard has judged. */
static bool head_take_line(struct evhttp_request *req, char *line)
{
	char *target = strchr(line, ' ') + 1, *version = strrchr(target, ' ');

	req->type = verb_of(line, (size_t)(target - line) - 1);
	req->major = 1;
	req->minor = 1;
	*version = '\0';
	req->uri = strdup(target);
	req->uri_elems = evhttp_uri_parse_with_flags(target, EVHTTP_URI_NONCONFORMANT);
	return req->uri != NULL && req->uri_elems != NULL;
}

static void head_take_header(struct evhttp_request *req, char *line)
{
	char *value = strchr(line, ':');

	*value++ = '\0';
	value += strspn(value, " \t");
	for (char *end = value + strlen(value); end > value && (end[-1] == ' ' || end[-1] == '\t');)
		*--end = '\0';
	evhttp_add_header(req->input_headers, line, value);
}

static struct evhttp_request *head_parse(struct bytes head)
{
	struct evhttp_request *req = evhttp_request_new(NULL, NULL);
	AUTO_BUF text = BUF_INIT;
	char *rest, *line;
	bool good;

	if (req == NULL)
		abort();
	buf_append(&text, head.data, head.len);
	rest = (char *)(uintptr_t)buf_cstr(&text);
	good = head_take_line(req, strsep(&rest, "\r"));
	while (good && (line = strsep(&rest, "\r")) != NULL)
		if (line[1] != '\0') /* after its LF */
			head_take_header(req, line + 1);
	if (good)
		return req;
	evhttp_request_free(req);
	return NULL;
}

void request_take_host(struct evhttp_request *req)
{
	const char *host = *req->uri != '/' ? strstr(req->uri, "://") : NULL;
	AUTO_BUF text = BUF_INIT;

	if (host == NULL)
		return;
	req->flags &= ~EVHTTP_PROXY_REQUEST;
	buf_append(&text, host + 3, strcspn(host + 3, "/?"));
	evhttp_remove_header(req->input_headers, "Host");
	evhttp_add_header(req->input_headers, "Host", buf_cstr(&text));
}

/* Nothing of r is the connection's: the one before may still be under way there. */
static void expected_done(struct http_request *r)
{
	if (r->on_done != NULL)
		r->on_done(r, r->status, r->n_body, r->done_arg);
	evhttp_request_free(r->req);
	request_free(r);
}

bool request_expected(struct http_conn *c, struct bytes head)
{
	struct http_server *s = c->server;
	struct evhttp_request *req = s->ops->expect != NULL ? head_parse(head) : NULL;
	struct http_request *r;

	if (req == NULL)
		return false;
	r = request_new(s);
	r->server = s;
	r->conn = c;
	r->req = req;
	r->begun_ns = clock_mono_ns();
	r->verb = gate_last_verb(c);
	r->awaits = r->close = true;
	request_normalise(r);
	s->ops->expect(r, s->arg);
	return c->answer.len > 0;
}

void http_continue(struct http_request *r)
{
	assert(r->awaits);
	r->status = 100;
	expected_done(r);
}

void request_expected_answer(struct http_request *r, const char *content_type, const struct buf *body)
{
	struct buf *answer = &r->conn->answer;
	size_t length = body != NULL ? body->len : 0;
	const struct buf *head = answer_head(r, content_type, (int64_t)length);

	buf_append(answer, head->data, head->len);
	if (length > 0 && answer_has_content(r->status)) {
		buf_append(answer, body->data, length);
		r->n_body = length;
	}
	expected_done(r);
}
