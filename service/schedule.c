/* schedule.c: see schedule.h. What fires: one op at a time, some records each. */
#include "service/schedule.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "errand/status.h"
#include "service/cron.h"
#include "service/schedule_plan.h"
#include "service/task_engine.h"
#include "service/tz.h"

#define DUE_MAX 32                /* of one op */
#define LIVE_MAX 100              /* tasks remembered per schedule; the oldest are let go */
#define LOOK_NS (2 * NS_PER_S)    /* the longest sleep: the wall clock may be stepped */
#define AGAIN_NS (20 * NS_PER_MS) /* between two ops, so that others get in */
#define FAILED_NS NS_PER_S
#define WHY 300

/* --- the record --- */

void schedule_set_text(char **member, const char *text)
{
	if (*member != (char *)protobuf_c_empty_string)
		free(*member);
	*member = xstrdup(text);
}

void schedule_set_time(Google__Protobuf__Timestamp **member, int64_t s)
{
	if (s == 0) {
		free(*member);
		*member = NULL;
		return;
	}
	if (*member == NULL) {
		*member = xmalloc(sizeof **member);
		google__protobuf__timestamp__init(*member);
	}
	(*member)->seconds = s;
	(*member)->nanos = 0;
}

Errand__V1__Schedule *schedule_read(const struct buf *data)
{
	return errand__v1__schedule__unpack(NULL, data->len, data->data);
}

void schedule_free(Errand__V1__Schedule *sc)
{
	errand__v1__schedule__free_unpacked(sc, NULL);
}

int schedule_get(const struct store_ops *ops, struct store *s, const char *id,
		 Errand__V1__Schedule **out)
{
	struct record r = {0};
	int code = ops->get_record(s, RECORD_SCHEDULE, (struct bytes){(const uint8_t *)id, strlen(id)}, &r);

	*out = NULL;
	if (code == 0) {
		*out = schedule_read(&r.data);
		code = *out == NULL ? -ERRAND_DATA_LOSS : 0;
	}
	record_deinit(&r);
	return code;
}

int schedule_put(const struct store_ops *ops, struct store *s, Errand__V1__Schedule *sc)
{
	struct record r = {.kind = RECORD_SCHEDULE};
	char etag[32];
	size_t size;
	int code;

	snprintf(etag, sizeof etag, "\"%llu\"",
		 strtoull(sc->etag + (sc->etag[0] == '"'), NULL, 10) + 1);
	schedule_set_text(&sc->etag, etag);
	r.due_us = sc->next_time != NULL ? sc->next_time->seconds * US_PER_S : 0;
	buf_append(&r.key, sc->id, strlen(sc->id));
	size = errand__v1__schedule__get_packed_size(sc);
	if (buf_reserve(&r.data, size) != NULL)
		r.data.len = errand__v1__schedule__pack(sc, r.data.data);
	code = ops->put_record(s, &r);
	record_deinit(&r);
	return code;
}

int schedule_set_next(Errand__V1__Schedule *sc, int64_t now_us, char *why, size_t why_size)
{
	int64_t after = now_us / US_PER_S, next;
	struct cron c;
	struct tz *z;
	int code = cron_parse(sc->cron, &c, why, why_size);

	if (code == 0)
		code = tz_load(sc->time_zone, &z, why, why_size);
	if (code < 0)
		return code;
	if (sc->last_time != NULL)
		after = MAX(after, sc->last_time->seconds);
	next = cron_next(&c, z, after);
	schedule_set_time(&sc->next_time, sc->paused || next == CRON_NEVER ? 0 : next);
	tz_free(z);
	return 0;
}

/* --- its tasks --- */

static void drop_live(Errand__V1__Schedule *sc, size_t i)
{
	free(sc->live_tasks[i]);
	sc->n_live_tasks--;
	memmove(&sc->live_tasks[i], &sc->live_tasks[i + 1],
		(sc->n_live_tasks - i) * sizeof sc->live_tasks[0]);
}

static void add_live(Errand__V1__Schedule *sc, const char *id)
{
	if (sc->n_live_tasks == LIVE_MAX)
		drop_live(sc, 0);
	sc->live_tasks = xrealloc(sc->live_tasks, (sc->n_live_tasks + 1) * sizeof sc->live_tasks[0]);
	sc->live_tasks[sc->n_live_tasks++] = xstrdup(id);
}

/* Lets those go that have ended; cancel: those that have not are cancelled. */
static int look_at_live(const struct store_ops *ops, struct store *s, Errand__V1__Schedule *sc,
			bool cancel, struct task_changes *changes)
{
	for (size_t i = 0; i < sc->n_live_tasks;) {
		struct task_row row = {0};
		struct uuid id;
		int code = uuid_parse(sc->live_tasks[i], &id) ? ops->get(s, &id, PART_OPTIONS, &row) :
							   -ERRAND_NOT_FOUND;

		if (code < 0 && code != -ERRAND_NOT_FOUND)
			return code;
		if (code < 0 || !task_state_live(row.state)) {
			drop_live(sc, i);
		} else {
			struct task_move m = task_move_begin(ops, s, &row, changes);

			i++;
			code = cancel && row.state != TASK_CANCELLING ? task_move_cancel(&m) : 0;
			if (code < 0) {
				task_row_deinit(&row);
				return code;
			}
		}
		task_row_deinit(&row);
	}
	return 0;
}

static void pack_options(const Errand__V1__Schedule *sc, struct buf *out)
{
	if (sc->options == NULL)
		return;
	if (buf_reserve(out, errand__v1__task_options__get_packed_size(sc->options)) != NULL)
		out->len = errand__v1__task_options__pack(sc->options, out->data);
}

int schedule_make(const struct store_ops *ops, struct store *s, Errand__V1__Schedule *sc,
		  struct task_new *n, struct task_changes *changes, char *why, size_t why_size)
{
	AUTO_BUF options = BUF_INIT;
	struct task_spec spec = {.method = registry_method_by_name(sc->method), .schedule = sc->id};
	char id[UUID_TEXT_SIZE];
	int code;

	if (spec.method == NULL) {
		snprintf(why, why_size, "method %.200s is not served here", sc->method);
		return 1;
	}
	if (sc->input != NULL)
		spec.input = (struct bytes){sc->input->value.data, sc->input->value.len};
	pack_options(sc, &options);
	spec.options = buf_bytes(&options);
	task_new_init(n, &spec);
	code = task_new_insert(n, ops, s, changes);
	if (code < 0 || n->found != TASK_MADE)
		return code;
	sc->n_made++;
	schedule_set_text(&sc->last_task, uuid_format(&n->row.id, id));
	add_live(sc, id);
	return 0;
}

/* --- when it is due --- */

static void skip(Errand__V1__Schedule *sc, const char *why)
{
	sc->n_skipped++;
	schedule_set_text(&sc->error, why);
}

/* A task for the time that the plan has, if the overlap policy has nothing against it. */
static int fire(const struct store_ops *ops, struct store *s, Errand__V1__Schedule *sc,
		struct task_changes *changes)
{
	bool cancel = sc->overlap == ERRAND__V1__OVERLAP__POLICY__CANCEL_RUNNING;
	bool allow = sc->overlap == ERRAND__V1__OVERLAP__POLICY__ALLOW;
	struct task_new n = {0};
	char why[WHY] = "";
	int code = look_at_live(ops, s, sc, cancel, changes);

	if (code < 0)
		return code;
	if (sc->n_live_tasks > 0 && !cancel && !allow) {
		skip(sc, "overlap: its last task has not ended");
		return 0;
	}
	code = schedule_make(ops, s, sc, &n, changes, why, sizeof why);
	if (code == 0 && n.found != TASK_MADE)
		snprintf(why, sizeof why, "another task has the unique key");
	task_new_deinit(&n);
	if (code >= 0 && why[0] != '\0')
		skip(sc, why);
	else if (code == 0)
		schedule_set_text(&sc->error, "");
	return MIN(code, 0);
}

static int run_due(const struct store_ops *ops, struct store *s, Errand__V1__Schedule *sc,
		   int64_t now_us, struct task_changes *changes)
{
	struct schedule_plan p;
	char why[WHY];
	struct cron c;
	struct tz *z;
	int code = cron_parse(sc->cron, &c, why, sizeof why);

	if (code == 0)
		code = tz_load(sc->time_zone, &z, why, sizeof why);
	if (code < 0) {
		/* The zone was removed: nothing can be done until somebody changes it. */
		log_error("a schedule cannot go on", "schedule=%s reason=\"%s\"", sc->id, why);
		skip(sc, why);
		schedule_set_time(&sc->next_time, 0);
		return schedule_put(ops, s, sc);
	}
	p = schedule_plan(&c, z, (enum missed_policy)sc->missed, sc->next_time->seconds,
			  sc->catching_up, now_us / US_PER_S);
	tz_free(z);
	if (p.fire) {
		code = fire(ops, s, sc, changes);
		schedule_set_time(&sc->last_time, p.at_s);
	}
	if (code < 0)
		return code;
	sc->n_missed += p.n_missed;
	sc->catching_up = p.catching_up;
	schedule_set_time(&sc->next_time, p.next_s == CRON_NEVER ? 0 : p.next_s);
	return schedule_put(ops, s, sc);
}

/* --- the timer --- */

static struct ticker {
	struct store_op op;
	struct loop_timer timer;
	bool started, busy, again; /* again: something was changed while it was busy */
	struct task_changes changes;
	bool more;
	int64_t next_us; /* 0: no schedule waits */
} t;

static int tick_run(struct store_op *op, const struct store_ops *ops, struct store *s)
{
	int64_t now = clock_wall_us();
	struct record *rows = NULL;
	size_t n = 0;
	int code;

	task_changes_reset(&t.changes);
	code = ops->due_records(s, RECORD_SCHEDULE, now, DUE_MAX, &rows, &n);
	for (size_t i = 0; i < n && code == 0; i++) {
		Errand__V1__Schedule *sc = schedule_read(&rows[i].data);

		if (sc != NULL && sc->next_time != NULL) {
			code = run_due(ops, s, sc, now, &t.changes);
		} else { /* not to be looked at for ever */
			rows[i].due_us = 0;
			code = ops->put_record(s, &rows[i]);
		}
		if (sc != NULL)
			schedule_free(sc);
	}
	records_free(rows, n);
	t.more = n > 0; /* RUN_ALL: again due at once */
	return code < 0 ? code : ops->next_record(s, RECORD_SCHEDULE, &t.next_us);
}

static void on_timer(void *arg)
{
	if (!t.started || t.busy)
		return;
	t.busy = true;
	store_thread_submit(&t.op);
}

static void tick_done(struct store_op *op, int code)
{
	int64_t left;

	t.busy = false;
	if (code == 0)
		task_publish(&t.changes);
	task_changes_reset(&t.changes);
	if (!t.started)
		return;
	if (code < 0) {
		loop_timer_start(&t.timer, FAILED_NS, on_timer, NULL);
	} else if (t.more || t.again) {
		loop_timer_start(&t.timer, AGAIN_NS, on_timer, NULL);
	} else if (t.next_us != 0) {
		left = MIN(t.next_us - clock_wall_us(), LOOK_NS / 1000);
		loop_timer_start(&t.timer, MAX(left * 1000, 0), on_timer, NULL);
	}
	t.again = false;
}

void schedule_kick(void)
{
	t.again = t.busy;
	if (t.started && !t.busy)
		loop_timer_start(&t.timer, 0, on_timer, NULL);
}

void schedule_start(void)
{
	t = (struct ticker){.started = true};
	t.op = (struct store_op){.run = tick_run, .done = tick_done, .writes = true};
	schedule_kick();
}

void schedule_stop(void)
{
	loop_timer_cancel(&t.timer);
	t.started = false;
	if (!t.busy)
		task_changes_deinit(&t.changes);
}
