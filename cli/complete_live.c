#define _GNU_SOURCE
#include "cli/complete_live.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/pbuf.h"
#include "cli/backend.h"
#include "cli/call_find.h"
#include "cli/pages.h"
#include "cli/task_view.h"

enum { MOST = 200 };

static bool open_backend(struct backend *b, struct cli_common *common)
{
	common->timeout = NS_PER_S / 2;
	common->json = false;
	return backend_open(b, common) == CLI_OK;
}

/* What the service lists, if it answers in time: the caller frees p's. */
static void fetch(const struct cli_common *common, struct pages *p)
{
	struct cli_common own = *common;
	struct backend b;

	if (!open_backend(&b, &own))
		return;
	if (pages_fetch(&b, p, &BUF_INIT) != CLI_OK)
		buf_reset(&p->all);
	backend_close(&b);
}

static void put_task(struct bytes task, const char *typed, complete_put *put)
{
	struct task_view v = {0};
	AUTO_FREE char *what = NULL;
	size_t len = strlen(typed);

	task_view_load(&v, task);
	what = xasprintf("%s %s", task_view_state_name(v.state), v.method);
	/* by its end, too: that is what a terminal shows of it */
	if (len > 0 && len < strlen(v.id) && strcasecmp(v.id + strlen(v.id) - len, typed) == 0)
		printf("%s\t%s\n", v.id, what);
	else
		put(v.id, what);
	task_view_deinit(&v);
}

void complete_tasks(const struct cli_common *common, const char *typed, complete_put *put)
{
	struct pages p = {.service = TASKS_SERVICE, .method = "ListTasks", .size_field = 4, .token_field = 5,
			  .limit = MOST};
	struct pbuf_reader r;
	struct pbuf_field f;

	fetch(common, &p);
	r = pbuf_reader(p.all.data, p.all.len);
	while (pbuf_next(&r, &f))
		put_task(f.bytes, typed, put);
	pages_deinit(&p);
}

/* Of what has its name in field 1. */
static void put_name(struct bytes item, complete_put *put)
{
	struct pbuf_reader r = pbuf_reader(item.data, item.len);
	AUTO_FREE char *name = NULL;
	struct pbuf_field f;

	while (pbuf_next(&r, &f) && name == NULL)
		if (f.number == 1 && f.wire == PBUF_LEN)
			name = xstrndup((const char *)f.bytes.data, f.bytes.len);
	if (name != NULL)
		put(name, NULL);
}

void complete_names(const struct cli_common *common, const char *service, const char *method, complete_put *put)
{
	struct pages p = {.service = service, .method = method, .limit = MOST};
	struct pbuf_reader r;
	struct pbuf_field f;

	fetch(common, &p);
	r = pbuf_reader(p.all.data, p.all.len);
	while (pbuf_next(&r, &f))
		put_name(f.bytes, put);
	pages_deinit(&p);
}

/* --- methods --- */

/* How many methods end in /NAME? */
static size_t count_named(const struct schema *s, const char *name)
{
	size_t n = 0;

	for (size_t i = 0; i < schema_n_services(s); i++) {
		const struct schema_service *service = schema_service_at(s, i);

		for (size_t k = 0; k < service->n_methods; k++)
			n += strcmp(service->methods[k].name, name) == 0;
	}
	return n;
}

/* Short where that is enough, whole where a package is being typed; errand's own only when
 * they are asked for. */
static void put_method(const struct schema *s, const struct schema_method *m, const char *typed, complete_put *put)
{
	bool ours = strncmp(m->full_name, "errand.", 7) == 0;
	const char *dot;

	if (m->client_streaming)
		return;
	if (strchr(typed, '.') != NULL) {
		put(m->full_name, NULL);
		return;
	}
	if (ours && *typed == '\0')
		return;
	dot = strrchr(m->service->name, '.');
	if (strchr(typed, '/') == NULL && count_named(s, m->name) == 1)
		put(m->name, m->full_name);
	else
		put(m->full_name + (dot != NULL ? dot + 1 - m->service->name : 0), m->full_name);
	if (*typed != '\0')
		put(m->full_name, NULL);
}

void complete_methods(const struct cli_common *common, const char *typed, complete_put *put)
{
	struct cli_common own = *common;
	struct backend b;

	if (!open_backend(&b, &own))
		return;
	if (backend_schema(&b) == CLI_OK)
		for (size_t i = 0; i < schema_n_services(b.schema); i++) {
			const struct schema_service *service = schema_service_at(b.schema, i);

			for (size_t k = 0; k < service->n_methods; k++)
				put_method(b.schema, &service->methods[k], typed, put);
		}
	backend_close(&b);
}

/* --- fields --- */

static void put_values(const struct schema_field *f, complete_put *put)
{
	if (f->type == FIELD_BOOL) {
		AUTO_FREE char *yes = xasprintf("%s=true", f->name), *no = xasprintf("%s=false", f->name);

		put(yes, NULL);
		put(no, NULL);
	}
	for (size_t i = 0; f->enumeration != NULL && i < f->enumeration->n_values; i++) {
		AUTO_FREE char *text = xasprintf("%s=%s", f->name, f->enumeration->values[i].name);

		put(text, NULL);
	}
}

void complete_fields(const struct cli_common *common, const char *method, const char *typed, complete_put *put)
{
	const struct schema_method *m = NULL;
	struct cli_common own = *common;
	struct backend b;
	int ignored;

	if (!open_backend(&b, &own))
		return;
	if (backend_schema(&b) == CLI_OK)
		m = call_find_name(b.schema, method, &ignored);
	for (size_t i = 0; m != NULL && i < m->input->n_fields; i++) {
		const struct schema_field *f = &m->input->fields[i];
		AUTO_FREE char *text = xasprintf("%s=", f->name);

		if (strncmp(typed, text, strlen(text)) == 0)
			put_values(f, put);
		else
			put(text, f->message != NULL ? f->message->name : NULL);
	}
	backend_close(&b);
}
