/* schedule_check.c: see schedule_check.h. */
#include "service/schedule_check.h"

#include <stdio.h>
#include <string.h>

#include "errand/status.h"
#include "service/cron.h"
#include "service/registry.h"
#include "service/schedule.h"
#include "service/schedule_plan.h"
#include "service/task_input.h"
#include "service/task_options.h"
#include "service/tz.h"
#include "service/worker.h"

#define WHY 300

static void refuse(struct fault_list *faults, const char *where, const char *rule, const char *value,
		   const char *why)
{
	fault_add(faults, FAULT_SCHEMA, FAULT_POINTER, where, rule, value, value ? strlen(value) : 0, "%s", why);
}

bool schedule_id_valid(const char *id)
{
	size_t len = strlen(id);

	return len > 0 && len <= SCHEDULE_ID_MAX && strchr("-_.", id[0]) == NULL &&
	       strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == len;
}

static void check_times(Errand__V1__Schedule *sc, struct fault_list *faults)
{
	struct tz *z = NULL;
	char why[WHY];
	struct cron c;

	if (sc->time_zone[0] == '\0')
		schedule_set_text(&sc->time_zone, "UTC");
	if (sc->cron[0] == '\0')
		refuse(faults, "#/cron", "required", NULL, "a cron line is needed, as 30 2 * * MON-FRI");
	else if (cron_parse(sc->cron, &c, why, sizeof why) < 0)
		refuse(faults, "#/cron", "cron", sc->cron, why);
	if (tz_load(sc->time_zone, &z, why, sizeof why) < 0)
		refuse(faults, "#/time_zone", "time_zone", sc->time_zone, why);
	tz_free(z);
}

static void check_policies(Errand__V1__Schedule *sc, struct fault_list *faults)
{
	if (sc->overlap == ERRAND__V1__OVERLAP__POLICY__OVERLAP_UNSPECIFIED)
		sc->overlap = ERRAND__V1__OVERLAP__POLICY__SKIP;
	if (sc->missed == ERRAND__V1__MISSED__POLICY__MISSED_UNSPECIFIED)
		sc->missed = ERRAND__V1__MISSED__POLICY__RUN_ONCE;
	if ((int)sc->overlap < 0 || sc->overlap > ERRAND__V1__OVERLAP__POLICY__CANCEL_RUNNING)
		refuse(faults, "#/overlap", "enum", NULL, "SKIP, ALLOW or CANCEL_RUNNING");
	if ((int)sc->missed < 0 || sc->missed > ERRAND__V1__MISSED__POLICY__RUN_ALL)
		refuse(faults, "#/missed", "enum", NULL, "SKIP, RUN_ONCE or RUN_ALL");
}

static const struct method *check_method(const Errand__V1__Schedule *sc, struct fault_list *faults)
{
	const struct method *m = registry_method_by_name(sc->method);
	const char *why = NULL;

	if (sc->method[0] == '\0')
		why = "a method is needed, as pkg.Service/Method";
	else if (m == NULL)
		why = "there is no such method here";
	else if (registry_is_builtin(m))
		why = "errand's own methods are not run as tasks";
	else if (m->schema->server_streaming || m->schema->client_streaming)
		why = "a method that streams cannot be a task";
	if (why != NULL)
		refuse(faults, "#/method", "method", sc->method, why);
	return why == NULL ? m : NULL;
}

static void check_options(const Errand__V1__Schedule *sc, const struct method *m, struct fault_list *faults)
{
	AUTO_BUF packed = BUF_INIT;
	struct task_options o;
	size_t n_before = faults->n;

	if (sc->options == NULL)
		return;
	if (sc->options->run_at != NULL)
		refuse(faults, "#/options/run_at", "schedule", NULL, "the schedule says when");
	if (sc->options->n_after > 0)
		refuse(faults, "#/options/after", "schedule", NULL, "tasks of a schedule come after no other");
	n_before = faults->n;
	buf_reserve(&packed, errand__v1__task_options__get_packed_size(sc->options) + 1);
	packed.len = errand__v1__task_options__pack(sc->options, packed.data);
	task_options_read(buf_bytes(&packed), &o, faults);
	worker_check_queue(m, o.queue, "#/queue", faults);
	task_options_deinit(&o);
	for (size_t i = n_before; i < faults->n; i++) {
		char *where = faults->items[i].where;

		faults->items[i].where = xasprintf("#/options%s", where + (where[0] == '#'));
		free(where);
	}
}

static void check_input(Errand__V1__Schedule *sc, const struct method *m, struct fault_list *faults)
{
	AUTO_FREE char *type = xasprintf("type.googleapis.com/%s", m->schema->input->name);
	struct bytes url = {NULL, 0}, value = {NULL, 0};
	AUTO_BUF wire = BUF_INIT;

	if (sc->input != NULL) {
		url = (struct bytes){(const uint8_t *)sc->input->type_url, strlen(sc->input->type_url)};
		value = (struct bytes){sc->input->value.data, sc->input->value.len};
	}
	if (task_input_read(registry_schema(), m, url, value, "#/input", &wire, faults) < 0)
		return;
	if (sc->input == NULL) {
		sc->input = xmalloc(sizeof *sc->input);
		google__protobuf__any__init(sc->input);
	}
	schedule_set_text(&sc->input->type_url, type);
	free(sc->input->value.data);
	sc->input->value.data = buf_take(&wire, &sc->input->value.len);
}

bool schedule_check(Errand__V1__Schedule *sc, struct fault_list *faults)
{
	const struct method *m;

	if (!schedule_id_valid(sc->id))
		fault_add(faults, FAULT_SCHEMA, FAULT_POINTER, "#/id", "id", sc->id, strlen(sc->id),
			  "at most %d letters, digits, - _ and . with a letter or digit first", SCHEDULE_ID_MAX);
	check_times(sc, faults);
	check_policies(sc, faults);
	m = check_method(sc, faults);
	check_options(sc, m, faults);
	if (m != NULL)
		check_input(sc, m, faults);
	return faults->n == 0;
}
