/* worker_job.c, worker_set.c: what a piece of work becomes for a program, and what its end
 * becomes for the service. Programs are real, the service is not there. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/pbuf.h"
#include "base/util.h"
#include "cli/worker_job.h"
#include "cli/worker_set.h"
#include "errand_v1.schema.h"

/* errand.v1's own schema, as a service has it, and the worker's. */
static struct schema *load(const char *method)
{
	const struct bytes own = {errand_v1_schema, errand_v1_schema_len};
	AUTO_BUF set = BUF_INIT, import = BUF_INIT;
	AUTO_FREE char *service = NULL;
	struct schema *s = NULL;
	char why[200] = "";

	worker_set_copy(own, WORKER_SET_IMPORT, &import);
	assert_true(import.len > 0);
	buf_append(&set, own.data, own.len);
	assert_true(worker_set_make(method, "POST", "/jobs", NULL, &set, &service));
	if (schema_load_any(set.data, set.len, &s, why, sizeof why) < 0)
		fail_msg("%s", why);
	return s;
}

static struct worker_job *job(struct schema *s, const char *method)
{
	AUTO_BUF work = BUF_INIT;
	struct worker_job *j;

	pbuf_put_uint(&work, 1, 7);
	pbuf_put_str(&work, 2, method);
	pbuf_put_str(&work, 6, "the-task");
	pbuf_put_uint(&work, 7, 3);
	pbuf_put_str(&work, 8, "q");
	j = worker_job_read(buf_bytes(&work));
	assert_non_null(j);
	worker_job_find(j, s);
	return j;
}

static void names(void **state)
{
	static const char *const bad[] = {"", "a", "a/b", "a.b", "a.b/", "/c", "a..b/c", ".a/b", "a.1/b", "a.b/c/d", "a.b/c.d", "a.b/1", "a.b/c d"};
	static const char *const good[] = {"a.b/C", "a_1.B/c2", "x.y.Z/W"};
	AUTO_BUF set = BUF_INIT;
	char *service;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(worker_set_make(bad[i], NULL, NULL, NULL, &set, &service));
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_true(worker_set_make(good[i], NULL, NULL, NULL, &set, &service));
		assert_memory_equal(service, good[i], strlen(service));
		free(service);
	}
}

static void its_set_has_the_route(void **state)
{
	struct schema *s = load("my.jobs.Thumbs/Make");
	const struct schema_method *m = schema_method(s, "my.jobs.Thumbs/Make", strlen("my.jobs.Thumbs/Make"));

	assert_non_null(m);
	assert_int_equal(m->run, RUN_TASK);
	assert_int_equal(m->n_http, 1);
	assert_string_equal(m->http[0].verb, "POST");
	assert_string_equal(m->http[0].path, "/jobs");
	schema_unref(s);
}

static void the_environment(void **state)
{
	struct schema *s = load("a.b/C");
	struct worker_job *j = job(s, "a.b/C");
	char **env = worker_job_env(j);

	assert_string_equal(env[0], "ERRAND_TASK=the-task");
	assert_string_equal(env[1], "ERRAND_METHOD=a.b/C");
	assert_string_equal(env[2], "ERRAND_QUEUE=q");
	assert_string_equal(env[3], "ERRAND_ATTEMPT=3");
	assert_null(env[4]);
	for (char **e = env; *e != NULL; e++)
		free(*e);
	free(env);
	worker_job_free(j);
	schema_unref(s);
}

static uint64_t number(const struct buf *b, uint32_t field)
{
	struct pbuf_reader r = pbuf_reader(b->data, b->len);
	struct pbuf_field f;
	uint64_t v = 0;

	while (pbuf_next(&r, &f))
		if (f.number == field)
			v = f.value;
	return v;
}

static struct bytes text(const struct buf *b, uint32_t field)
{
	struct pbuf_reader r = pbuf_reader(b->data, b->len);
	struct bytes v = {NULL, 0};
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		if (f.number == field)
			v = f.bytes;
	return v;
}

static void ends(int status, const char *out, enum worker_form form, bool complete, bool final, const char *says)
{
	struct schema *s = load("a.b/C");
	struct worker_job *j = job(s, "a.b/C");
	AUTO_BUF answer = BUF_INIT;
	struct bytes words;

	j->program.status = status;
	j->program.max = 100;
	buf_append_str(&j->program.out, out);
	assert_int_equal(worker_job_answer(j, form, "prog", &answer), complete);
	assert_int_equal(number(&answer, 2), 7);
	words = text(&answer, complete ? 3 : 4);
	if (!complete)
		assert_int_equal(number(&answer, 6), final);
	if (memmem(words.data, words.len, says, strlen(says)) == NULL && *says != 0)
		fail_msg("%.*s: no %s", (int)words.len, (const char *)words.data, says);
	worker_job_free(j);
	schema_unref(s);
}

static void answers(void **state)
{
	ends(0, "{\"output\":\"x\"}", FORM_JSON, true, false, "");
	ends(0, " \n", FORM_JSON, true, false, "");
	ends(0, "plain", FORM_TEXT, true, false, "plain");
	ends(0, "\xff", FORM_TEXT, false, true, "not UTF-8");
	ends(0, "{", FORM_JSON, false, true, "is no google.protobuf.Value");
	ends(0, "ignored", FORM_NONE, true, false, "");
	ends(0, "\x0a\x01z", FORM_WIRE, true, false, "z");
	ends(3 << 8, "", FORM_JSON, false, false, "exit status 3");
	ends(64 << 8, "", FORM_JSON, false, true, "exit status 64");
	ends(65 << 8, "", FORM_JSON, false, true, "exit status 65");
	ends(75 << 8, "", FORM_JSON, false, false, "exit status 75");
	ends(11, "", FORM_JSON, false, false, "signal 11");
}

static void lines(void **state)
{
	static const char progress[] = "{\"fraction\":0.5,\"message\":\"half\",\"x\":1}";
	struct schema *s = load("a.b/C");
	struct worker_job *j = job(s, "a.b/C");

	worker_job_line(j, PROGRAM_ERR, "a\xff" "b", 3);
	assert_memory_equal(text(&j->lines, 4).data, "a?b", 3);
	worker_job_line(j, PROGRAM_MESSAGE, progress, strlen(progress));
	assert_memory_equal(text(&j->progress, 4).data, "half", 4);
	assert_int_equal(number(&j->progress, 2), 7);
	worker_job_line(j, PROGRAM_MESSAGE, "{\"fraction\":1}", 14);
	assert_int_equal(text(&j->progress, 4).len, 0);
	worker_job_line(j, PROGRAM_MESSAGE, "no JSON", 7);
	assert_memory_equal(text(&j->notes, 4).data, "no JSON", 7);
	assert_int_equal(worker_job_unsaid(j), j->lines.len + j->notes.len + j->progress.len);
	worker_job_free(j);
	schema_unref(s);
}

static void no_work(void **state)
{
	static const uint8_t cut[] = {0x0a, 0x7f};

	assert_null(worker_job_read((struct bytes){cut, sizeof cut}));
	assert_null(worker_job_read((struct bytes){NULL, 0}));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names), cmocka_unit_test(its_set_has_the_route), cmocka_unit_test(the_environment),
		cmocka_unit_test(answers), cmocka_unit_test(lines), cmocka_unit_test(no_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
