/* See answer.h. */
#define _GNU_SOURCE
#include "gateway/answer.h"

#include <stdio.h>

#include "base/err.h"
#include "base/log.h"
#include "gateway/problem.h"
#include "schema/transcode.h"

static const struct {
	const char *key, *header;
} passed_on[] = {
	{"etag", "ETag"},
	{"location", "Location"},
	{"retry-after", "Retry-After"},
	{"cache-control", "Cache-Control"},
	{"preference-applied", "Preference-Applied"},
};

static bool bytes_are(struct bytes b, const char *text)
{
	return b.len == strlen(text) && memcmp(b.data, text, b.len) == 0;
}

static void answer_header(struct http_request *r, const struct wire_pair *pair)
{
	char value[1024];

	for (size_t i = 0; i < ARRAY_LEN(passed_on); i++) {
		if (!bytes_are(pair->key, passed_on[i].key))
			continue;
		if (pair->value.len >= sizeof value || memchr(pair->value.data, '\0', pair->value.len) != NULL)
			return;
		memcpy(value, pair->value.data, pair->value.len);
		value[pair->value.len] = '\0';
		http_set_header(r, passed_on[i].header, value);
		return;
	}
}

/* errand-http-status, or 200. */
static int answer_status(const struct wire_response *w)
{
	struct bytes text = wire_pair_get(w->metadata, w->n_metadata, "errand-http-status");
	int status = 0;

	if (text.len != 3)
		return 200;
	for (size_t i = 0; i < 3; i++)
		status = status * 10 + (text.data[i] - '0');
	return status >= 200 && status <= 599 ? status : 200;
}

/* Is the tag one of If-None-Match's? Weak comparison (RFC 9110, 13.1.2). */
static bool tag_matches(const char *list, struct bytes tag)
{
	if (tag.len > 2 && memcmp(tag.data, "W/", 2) == 0)
		tag = (struct bytes){tag.data + 2, tag.len - 2};
	while (*list != '\0') {
		size_t n;

		list += strspn(list, " \t,");
		if (*list == '*')
			return true;
		if (strncmp(list, "W/", 2) == 0)
			list += 2;
		n = strcspn(list, ",");
		while (n > 0 && (list[n - 1] == ' ' || list[n - 1] == '\t'))
			n--;
		if (n == tag.len && memcmp(list, tag.data, n) == 0)
			return true;
		list += strcspn(list, ",");
	}
	return false;
}

static bool answer_is_known(const struct answer *a, const struct wire_response *w)
{
	struct bytes tag = wire_pair_get(w->metadata, w->n_metadata, "etag");
	const char *known;

	if (tag.len == 0 || strcmp(http_verb(a->http), "GET") != 0)
		return false;
	known = http_header(a->http, "If-None-Match");
	return known != NULL && tag_matches(known, tag);
}

/* The payload as JSON. */
static int answer_json(const struct answer *a, const struct wire_response *w, struct buf *body, char *why,
		       size_t why_size)
{
	const struct transcode_write o = {.schema = a->snapshot->schema};
	const struct schema_message *m = a->route->method->output;
	struct bytes name = wire_pair_get(w->metadata, w->n_metadata, "errand-message");

	buf_reserve(body, 128 + w->payload.len * 2);
	if (name.len == 0 && a->route->response_body != NULL)
		return transcode_field_to_json(&o, a->route->response_body,
					       field_path_enter(&a->route->response_path, w->payload), body,
					       why, why_size);
	if (name.len != 0)
		m = schema_message(a->snapshot->schema, (const char *)name.data, name.len);
	if (m == NULL) {
		snprintf(why, why_size, "unknown message %.*s", (int)name.len, (const char *)name.data);
		return -ERRAND_DATA_LOSS;
	}
	return transcode_to_json(&o, m, w->payload, body, why, why_size);
}

static void answer_body(const struct answer *a, int status, const struct wire_response *w)
{
	struct buf body = BUF_INIT;
	char why[256] = "";

	if (a->form == ACCEPT_PROTOBUF) {
		buf_append(&body, w->payload.data, w->payload.len);
		http_reply(a->http, status, "application/x-protobuf", &body);
		return;
	}
	if (answer_json(a, w, &body, why, sizeof why) == 0 && !buf_failed(&body)) {
		http_reply(a->http, status, "application/json", &body);
		return;
	}
	buf_deinit(&body);
	a->thread->n_errors++;
	log_error("bad answer of the service", "method=%s why=\"%s\"", a->route->method->full_name, why);
	problem_reply(a->http, 500, ERRAND_DATA_LOSS, "the service's answer is not of its schema: %s", why);
}

void answer_send(const struct answer *a, const struct wire_response *w)
{
	struct buf none = BUF_INIT;
	int status;

	if (w->code != ERRAND_OK) {
		a->thread->n_errors++;
		problem_reply_status(a->http, a->snapshot, w);
		return;
	}
	status = answer_status(w);
	for (size_t i = 0; i < w->n_metadata; i++)
		answer_header(a->http, &w->metadata[i]);
	if (answer_is_known(a, w))
		http_reply(a->http, 304, NULL, &none);
	else if (status == 204)
		http_reply(a->http, 204, NULL, &none);
	else
		answer_body(a, status, w);
}
