/* carrier_curl.c: carrier.h over libcurl, one easy handle each: a plugin. No redirect is
 * followed (a token goes to whom it was meant for, and to nobody else), no netrc or cookie
 * is read; proxies of the environment count as they do for curl, but not for sockets. */
#define _GNU_SOURCE
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "cli/carrier.h"

#define HEAD_MAX (256 << 10)
#define CONNECT_MS 10000L

/* One run. */
struct run {
	struct carrier_request *request;
	CURL *easy;
	bool stopped;
	char why[CURL_ERROR_SIZE];
};

/* --- what libcurl calls --- */

/* A line of the head; a head of its own has each answer before the last (100). */
static size_t on_head(char *data, size_t size, size_t n, void *arg)
{
	struct run *run = arg;
	struct buf *head = &run->request->head;
	size_t len = n;

	if (n > 5 && memcmp(data, "HTTP/", 5) == 0)
		buf_reset(head);
	while (len > 0 && (data[len - 1] == '\n' || data[len - 1] == '\r'))
		len--;
	buf_append(head, data, len);
	buf_append_byte(head, '\n');
	return head->len > HEAD_MAX || buf_failed(head) ? 0 : n;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct run *run = arg;
	long status = 0;

	curl_easy_getinfo(run->easy, CURLINFO_RESPONSE_CODE, &status);
	run->request->status = (int)status;
	if (run->request->on_body == NULL || run->request->on_body(run->request, data, n) == 0)
		return n;
	run->stopped = true;
	return CURL_WRITEFUNC_ERROR;
}

/* --- one request --- */

static void set_way(CURL *easy, const struct carrier_request *r)
{
	curl_easy_setopt(easy, CURLOPT_URL, r->url);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, r->unix_path);
	if (r->unix_path != NULL)
		curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_HTTP09_ALLOWED, 0L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 20L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 10L);
	curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, (long)r->once);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, r->timeout_ns > 0 ? (long)(r->timeout_ns / NS_PER_MS) + 1 : 0L);
}

static void set_trust(CURL *easy, const struct carrier_request *r)
{
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (r->ca != NULL)
		curl_easy_setopt(easy, CURLOPT_CAINFO, r->ca);
	curl_easy_setopt(easy, CURLOPT_SSLCERT, r->cert);
	curl_easy_setopt(easy, CURLOPT_SSLKEY, r->key != NULL ? r->key : r->cert);
}

static void set_request(struct run *run, struct curl_slist *headers)
{
	const struct carrier_request *r = run->request;

	curl_easy_setopt(run->easy, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(run->easy, CURLOPT_HEADERFUNCTION, on_head);
	curl_easy_setopt(run->easy, CURLOPT_HEADERDATA, run);
	curl_easy_setopt(run->easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(run->easy, CURLOPT_WRITEDATA, run);
	curl_easy_setopt(run->easy, CURLOPT_ERRORBUFFER, run->why);
	if (r->get) {
		curl_easy_setopt(run->easy, CURLOPT_HTTPGET, 1L);
		return;
	}
	curl_easy_setopt(run->easy, CURLOPT_POST, 1L);
	curl_easy_setopt(run->easy, CURLOPT_POSTFIELDS, r->body.len > 0 ? (const char *)r->body.data : "");
	curl_easy_setopt(run->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.len);
}

static enum carrier_end end_of(const struct run *run, CURLcode code)
{
	if (run->stopped)
		return CARRIER_STOPPED;
	switch (code) {
	case CURLE_OK:
		return CARRIER_DONE;
	case CURLE_OPERATION_TIMEDOUT:
		return run->request->timeout_ns > 0 ? CARRIER_TIMEOUT : CARRIER_UNREACHABLE;
	case CURLE_GOT_NOTHING:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
	case CURLE_PARTIAL_FILE:
		return CARRIER_BROKEN;
	default:
		return CARRIER_UNREACHABLE;
	}
}

static enum carrier_end carrier_curl_run(void *handle, struct carrier_request *r)
{
	struct run run = {.request = r, .easy = handle};
	struct curl_slist *headers = NULL;
	long status = 0;
	CURLcode code;

	for (const char *const *h = r->headers; *h != NULL; h++) {
		struct curl_slist *more = curl_slist_append(headers, *h);

		headers = more != NULL ? more : headers;
	}
	curl_easy_reset(run.easy); /* keeps its connections */
	set_way(run.easy, r);
	set_trust(run.easy, r);
	set_request(&run, headers);
	code = curl_easy_perform(run.easy);
	curl_easy_getinfo(run.easy, CURLINFO_RESPONSE_CODE, &status);
	r->status = (int)status;
	curl_slist_free_all(headers);
	if (code != CURLE_OK)
		snprintf(r->why, sizeof r->why, "%s", run.why[0] != '\0' ? run.why : curl_easy_strerror(code));
	return end_of(&run, code);
}

static void *carrier_curl_open(void)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return NULL;
	return curl_easy_init();
}

static void carrier_curl_close(void *handle)
{
	if (handle != NULL)
		curl_easy_cleanup(handle);
	curl_global_cleanup();
}

const struct carrier errand_http_carrier = {
	.open = carrier_curl_open,
	.close = carrier_curl_close,
	.run = carrier_curl_run,
};
