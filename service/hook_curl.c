/* hook_curl.c: callbacks over libcurl: one thread, one multi handle; the plugin of
 * hook_transport.h. What a target can do to it is bounded: by time, by bytes, and by
 * the addresses that may be dialled, each of which is asked for as it is dialled.
 * No redirect is followed, no proxy, netrc or cookie of the environment is used. */
#define _GNU_SOURCE
#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/list.h"
#include "base/util.h"
#include "errand/status.h"
#include "service/hook_transport.h"

#define SLOW_BYTES 8L /* a second, for SLOW_TIME: given up */
#define SLOW_TIME 10L
#define POLL_MS 60000

/* One transfer; the transport's thread. */
struct transfer {
	struct list node;
	struct hook_send *send; /* borrowed */
	CURL *easy;
	struct curl_slist *headers;
	size_t n_head, n_body;  /* bytes of the answer */
	bool head_done;
	char why[CURL_ERROR_SIZE];
};

static struct {
	CURLM *multi;
	pthread_t thread;
	pthread_mutex_t lock; /* guards waiting, stopping */
	struct list waiting;
	bool stopping;
	struct list running;  /* the thread's */
	char *ca;             /* NULL: the system's */
} c = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* What is given to send: a link of its own, so that hook_send needs none. */
struct wish {
	struct list node;
	struct hook_send *send;
};

/* --- what libcurl asks --- */

static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct transfer *t = arg;
	char why[256];

	if (!t->send->may_dial(t->send, &a->addr, why, sizeof why)) {
		t->send->refused = true;
		snprintf(t->send->error, sizeof t->send->error, "%s", why);
		return CURL_SOCKET_BAD;
	}
	t->send->refused = false;
	return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static size_t on_head(char *data, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	long status = 0;

	t->n_head += n;
	if (t->n_head > HOOK_ANSWER_MAX)
		return 0;
	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status >= 200 && n > 0 && n <= 2 && (data[0] == '\r' || data[0] == '\n'))
		t->head_done = true;
	return n;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;

	t->n_body += n;
	return t->n_body > HOOK_ANSWER_MAX ? 0 : n;
}

/* --- one transfer --- */

static void set_answer(struct transfer *t)
{
	curl_easy_setopt(t->easy, CURLOPT_HEADERFUNCTION, on_head);
	curl_easy_setopt(t->easy, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(t->easy, CURLOPT_ERRORBUFFER, t->why);
	curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t);
}

static void set_network(struct transfer *t)
{
	curl_easy_setopt(t->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(t->easy, CURLOPT_QUICK_EXIT, 1L); /* no waiting for a name server */
	curl_easy_setopt(t->easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(t->easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(t->easy, CURLOPT_PROXY, "");
	curl_easy_setopt(t->easy, CURLOPT_DNS_CACHE_TIMEOUT, 0L);
	curl_easy_setopt(t->easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(t->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(t->easy, CURLOPT_HTTP09_ALLOWED, 0L);
	curl_easy_setopt(t->easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(t->easy, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(t->easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (c.ca != NULL)
		curl_easy_setopt(t->easy, CURLOPT_CAINFO, c.ca);
	curl_easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)t->send->connect_ms);
	curl_easy_setopt(t->easy, CURLOPT_TIMEOUT_MS, (long)t->send->total_ms);
	curl_easy_setopt(t->easy, CURLOPT_LOW_SPEED_LIMIT, SLOW_BYTES);
	curl_easy_setopt(t->easy, CURLOPT_LOW_SPEED_TIME, SLOW_TIME);
	curl_easy_setopt(t->easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(t->easy, CURLOPT_OPENSOCKETDATA, t);
}

static void set_request(struct transfer *t)
{
	for (const char *const *h = t->send->headers; *h != NULL; h++) {
		struct curl_slist *more = curl_slist_append(t->headers, *h);

		t->headers = more != NULL ? more : t->headers;
	}
	curl_easy_setopt(t->easy, CURLOPT_URL, t->send->url);
	curl_easy_setopt(t->easy, CURLOPT_POST, 1L);
	curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, (const char *)t->send->body.data);
	curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)t->send->body.len);
	curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
}

static void finish(struct transfer *t, CURLcode code)
{
	struct hook_send *s = t->send;
	curl_off_t after = 0;
	long status = 0;

	if (t->head_done) { /* it has answered, whatever became of the rest */
		curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
		curl_easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &after);
		s->status = (int)status;
		s->retry_after_s = after;
		s->refused = false;
		s->error[0] = 0;
	} else if (t->n_head > HOOK_ANSWER_MAX) {
		snprintf(s->error, sizeof s->error, "the head of the answer is too large");
	} else if (!s->refused) {
		snprintf(s->error, sizeof s->error, "%s", t->why[0] ? t->why : curl_easy_strerror(code));
	}
	list_remove(&t->node);
	if (t->easy != NULL) {
		curl_multi_remove_handle(c.multi, t->easy);
		curl_easy_cleanup(t->easy);
	}
	curl_slist_free_all(t->headers);
	free(t);
	s->done(s);
}

static void begin(struct hook_send *s)
{
	struct transfer *t = xcalloc(1, sizeof *t);

	t->send = s;
	list_push_back(&c.running, &t->node);
	t->easy = curl_easy_init();
	if (t->easy == NULL) {
		finish(t, CURLE_OUT_OF_MEMORY);
		return;
	}
	set_answer(t);
	set_network(t);
	set_request(t);
	if (curl_multi_add_handle(c.multi, t->easy) != CURLM_OK)
		finish(t, CURLE_OUT_OF_MEMORY);
}

/* --- the thread --- */

static bool take_wishes(void)
{
	struct list wishes, *node;
	bool stopping;

	list_init(&wishes);
	pthread_mutex_lock(&c.lock);
	list_splice(&wishes, &c.waiting);
	stopping = c.stopping;
	pthread_mutex_unlock(&c.lock);
	while ((node = list_pop_front(&wishes)) != NULL) {
		struct wish *w = LIST_ENTRY(node, struct wish, node);

		begin(w->send);
		free(w);
	}
	return !stopping;
}

static void finish_ready(void)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(c.multi, &left)) != NULL) {
		void *t = NULL;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t);
		finish(t, m->data.result);
	}
}

static void *thread_main(void *arg)
{
	int running;

	pthread_setname_np(pthread_self(), "callbacks");
	while (take_wishes()) {
		curl_multi_perform(c.multi, &running);
		finish_ready();
		curl_multi_poll(c.multi, NULL, 0, POLL_MS, NULL);
	}
	LIST_FOREACH(node, &c.running)
		finish(LIST_ENTRY(node, struct transfer, node), CURLE_ABORTED_BY_CALLBACK);
	return NULL;
}

/* --- the transport --- */

static int hook_curl_start(const struct hook_transport_options *o, char *why, size_t why_size)
{
	sigset_t all, old;
	int r;

	curl_global_init(CURL_GLOBAL_DEFAULT);
	c.multi = curl_multi_init();
	c.ca = o->ca != NULL ? xstrdup(o->ca) : NULL;
	c.stopping = false;
	list_init(&c.waiting);
	list_init(&c.running);
	if (c.multi == NULL) {
		snprintf(why, why_size, "libcurl does not start");
		return -ERRAND_UNAVAILABLE;
	}
	curl_multi_setopt(c.multi, CURLMOPT_MAXCONNECTS, (long)o->max_idle);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&c.thread, NULL, thread_main, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r == 0)
		return 0;
	snprintf(why, why_size, "no thread for callbacks: %s", strerror(r));
	curl_multi_cleanup(c.multi);
	free(c.ca);
	return -ERRAND_UNAVAILABLE;
}

static void hook_curl_send(struct hook_send *s)
{
	struct wish *w = xcalloc(1, sizeof *w);

	w->send = s;
	pthread_mutex_lock(&c.lock);
	list_push_back(&c.waiting, &w->node);
	pthread_mutex_unlock(&c.lock);
	curl_multi_wakeup(c.multi);
}

static void hook_curl_stop(void)
{
	pthread_mutex_lock(&c.lock);
	c.stopping = true;
	pthread_mutex_unlock(&c.lock);
	curl_multi_wakeup(c.multi);
	pthread_join(c.thread, NULL);
	curl_multi_cleanup(c.multi);
	free(c.ca);
	c.multi = NULL;
	c.ca = NULL;
}

const struct hook_transport errand_hook_transport = {
	.name = "curl",
	.start = hook_curl_start,
	.send = hook_curl_send,
	.stop = hook_curl_stop,
};
