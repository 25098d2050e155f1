/* model.c: see model.h. */
#include "model.h"

#include <string.h>

#define DAY (86400 * MODEL_S)

bool model_live(const struct model_task *t)
{
	return t->state != TASK_SUCCEEDED && t->state != TASK_FAILED && t->state != TASK_CANCELLED &&
	       t->state != TASK_EXPIRED;
}

bool model_waiting(const struct model_task *t)
{
	return model_live(t) && t->state != TASK_RUNNING && t->state != TASK_CANCELLING;
}

void model_init(struct model *m, int64_t now, int64_t wall, const struct task_retry *retry)
{
	*m = (struct model){.now = now, .wall = wall, .retry = *retry};
	for (int k = 0; k < MODEL_KEYS; k++)
		m->keys[k].holder = m->idempotency[k].task = -1;
}

static void free_key(struct model *m, int key);

/* The state, its event; at the end of a life its key goes to the next. */
static void go(struct model *m, struct model_task *t, enum task_state to)
{
	bool was_live = model_live(t);

	t->state = to;
	t->version++;
	if (t->n_trail + 1 < MODEL_TRAIL)
		t->trail[t->n_trail++] = (char)('a' + to);
	if (model_live(t))
		return;
	t->forget_at = m->now + (t->options.ttl ? t->options.ttl : 7 * DAY);
	if (was_live && t->waits_key)
		t->waits_key = false;
	else if (was_live && t->options.key >= 0) {
		struct model_key *k = &m->keys[t->options.key];

		if (k->holder == (int)(t - m->tasks) && k->until == 0)
			free_key(m, t->options.key);
	}
}

static bool due(const struct model *m, const struct model_task *t)
{
	return t->turn <= (t->turn_wall ? m->wall : m->now);
}

static enum task_state place(const struct model *m, const struct model_task *t)
{
	if (t->waits_key)
		return TASK_BLOCKED;
	if (due(m, t))
		return TASK_QUEUED;
	return t->backing_off ? TASK_RETRYING : TASK_SCHEDULED;
}

static void queue(struct model *m, struct model_task *t)
{
	if (t->turn_wall && t->start_by)
		t->start_by += m->now - m->wall;
	t->turn_wall = t->backing_off = false;
	t->turn = m->now;
}

static void put_in_place(struct model *m, struct model_task *t)
{
	enum task_state to = place(m, t);

	if (to == TASK_QUEUED)
		queue(m, t);
	go(m, t, to);
}

/* The first who waits has it; in the order of ids. */
static void free_key(struct model *m, int key)
{
	struct model_task *next = NULL;

	m->keys[key] = (struct model_key){-1, 0};
	for (int i = 0; i < m->n; i++) {
		struct model_task *t = &m->tasks[i];

		if (!t->gone && t->waits_key && t->options.key == key &&
		    (next == NULL || memcmp(&t->id, &next->id, sizeof t->id) < 0))
			next = t;
	}
	if (next == NULL)
		return;
	next->waits_key = false;
	m->keys[key].holder = (int)(next - m->tasks);
	m->keys[key].until = next->options.window ? m->now + next->options.window : 0;
	if (next->state == TASK_BLOCKED)
		put_in_place(m, next);
}

static bool key_is_taken(const struct model *m, int key)
{
	const struct model_key *k = &m->keys[key];

	return k->holder >= 0 && !m->tasks[k->holder].gone && (k->until == 0 || k->until > m->now);
}

static void take_key(struct model *m, int at)
{
	const struct model_options *o = &m->tasks[at].options;

	m->keys[o->key] = (struct model_key){at, o->window ? m->now + o->window : 0};
}

enum model_made model_create(struct model *m, const struct model_options *o, const struct uuid *id,
			     int *at)
{
	struct model_idempotency *seen = o->idempotency >= 0 ? &m->idempotency[o->idempotency] : NULL;
	struct model_task *t = &m->tasks[m->n];

	if (seen != NULL && seen->task >= 0 && seen->until > m->now && !m->tasks[seen->task].gone) {
		*at = seen->task;
		return seen->body == o->body ? MODEL_REPLAYED : MODEL_KEY_REUSED;
	}
	*t = (struct model_task){.id = *id, .options = *o, .priority = o->priority, .version = 1};
	if (o->key >= 0 && key_is_taken(m, o->key)) {
		*at = m->keys[o->key].holder;
		if (o->policy != MODEL_WAIT)
			return o->policy == MODEL_USE ? MODEL_USED : MODEL_CONFLICT;
		t->waits_key = true;
	}
	t->turn_wall = o->run_at > m->wall;
	t->turn = t->turn_wall ? o->run_at : m->now + o->delay;
	t->start_by = o->start_deadline ? t->turn + o->start_deadline : 0;
	t->finish_by = o->total ? m->now + o->total : 0;
	*at = m->n++;
	if (o->key >= 0 && !t->waits_key)
		take_key(m, *at);
	if (seen != NULL)
		*seen = (struct model_idempotency){*at, o->body, m->now + DAY};
	t->state = place(m, t);
	return MODEL_MADE;
}

static bool before(const struct model_task *a, const struct model_task *b)
{
	if (a->priority != b->priority)
		return a->priority > b->priority;
	if (a->turn != b->turn)
		return a->turn < b->turn;
	return memcmp(&a->id, &b->id, sizeof a->id) < 0;
}

int model_next(const struct model *m)
{
	int best = -1;

	for (int i = 0; i < m->n; i++)
		if (!m->tasks[i].gone && m->tasks[i].state == TASK_QUEUED &&
		    (best < 0 || before(&m->tasks[i], &m->tasks[best])))
			best = i;
	return best;
}

void model_claim(struct model *m, int at)
{
	struct model_task *t = &m->tasks[at];

	t->outcomes[t->attempt++] = OUTCOME_NONE;
	go(m, t, TASK_RUNNING);
}

static int64_t backoff(const struct model *m, uint32_t n)
{
	int64_t step = m->retry.base_us;

	while (n-- > 1 && step < m->retry.cap_us)
		step = (int64_t)((double)step * m->retry.factor);
	return (step < m->retry.cap_us ? step : m->retry.cap_us) / 2; /* the jitter is a half */
}

static bool is_crash(enum task_outcome o)
{
	return o == OUTCOME_OOM || o == OUTCOME_SIGNAL || o == OUTCOME_LEASE_LOST;
}

static void failed(struct model *m, struct model_task *t, enum task_outcome outcome, bool final,
		   int64_t retry_after)
{
	uint32_t *count = is_crash(outcome) ? &t->crashes : &t->failures;
	uint32_t limit = is_crash(outcome) ? 3 : m->retry.max_attempts;
	int64_t delay;

	++*count;
	delay = retry_after ? retry_after : backoff(m, *count);
	if (final || t->crashes >= 3 || *count >= limit ||
	    (t->finish_by && m->now + delay >= t->finish_by)) {
		go(m, t, TASK_FAILED);
		return;
	}
	t->turn = m->now + delay;
	t->backing_off = true;
	go(m, t, TASK_RETRYING);
}

void model_end(struct model *m, int at, enum task_outcome outcome, bool final, int64_t retry_after)
{
	struct model_task *t = &m->tasks[at];

	t->outcomes[t->attempt - 1] = (uint8_t)outcome;
	if (outcome == OUTCOME_OK) {
		t->version++; /* the result's event */
		go(m, t, TASK_SUCCEEDED);
	} else if (outcome == OUTCOME_CANCELLED || t->cancel_asked) {
		go(m, t, TASK_CANCELLED);
	} else if (outcome == OUTCOME_INTERRUPTED) {
		t->turn = m->now;
		go(m, t, TASK_QUEUED);
	} else {
		failed(m, t, outcome, final, retry_after);
	}
}

void model_event(struct model *m, int at)
{
	m->tasks[at].version++;
}

bool model_cancel(struct model *m, int at)
{
	struct model_task *t = &m->tasks[at];

	if (!model_live(t) || t->state == TASK_CANCELLING)
		return true; /* it is as asked already */
	t->cancel_asked = true;
	go(m, t, t->state == TASK_RUNNING ? TASK_CANCELLING : TASK_CANCELLED);
	return true;
}

bool model_hold(struct model *m, int at)
{
	struct model_task *t = &m->tasks[at];

	if (!model_waiting(t))
		return false;
	if (t->state != TASK_HELD)
		go(m, t, TASK_HELD);
	return true;
}

bool model_release(struct model *m, int at)
{
	struct model_task *t = &m->tasks[at];

	if (t->state != TASK_HELD)
		return false;
	put_in_place(m, t);
	return true;
}

bool model_run_now(struct model *m, int at)
{
	struct model_task *t = &m->tasks[at];

	if (t->state == TASK_QUEUED)
		return true;
	if (t->state != TASK_SCHEDULED && t->state != TASK_RETRYING)
		return false;
	queue(m, t);
	go(m, t, TASK_QUEUED);
	return true;
}

bool model_retry(struct model *m, int at)
{
	struct model_task *t = &m->tasks[at];

	if (model_live(t))
		return false;
	if (t->options.key >= 0 && t->options.window == 0) {
		if (key_is_taken(m, t->options.key))
			return false;
		take_key(m, at);
	}
	t->failures = t->crashes = 0;
	t->cancel_asked = t->turn_wall = t->backing_off = false;
	t->start_by = t->finish_by = 0;
	t->turn = m->now;
	go(m, t, TASK_QUEUED);
	return true;
}

bool model_delete(struct model *m, int at)
{
	if (model_live(&m->tasks[at]))
		return false;
	m->tasks[at].gone = true;
	return true;
}

/* One that queues already, or waits for its retry, goes on by the engine's clock. */
static void set_turn(struct model *m, struct model_task *t, int64_t run_at)
{
	bool wall = t->state != TASK_RETRYING && !(t->state == TASK_QUEUED && run_at <= m->wall);
	int64_t turn = wall ? run_at : run_at - m->wall + m->now;

	if (t->start_by)
		t->start_by = turn + (t->start_by - t->turn);
	t->turn = turn;
	if (wall) {
		t->turn_wall = true;
		t->backing_off = false;
	}
}

bool model_patch(struct model *m, int at, int priority, int64_t run_at)
{
	struct model_task *t = &m->tasks[at];

	if (!model_waiting(t))
		return false;
	t->priority = priority;
	if (run_at != 0)
		set_turn(m, t, run_at);
	if ((t->state == TASK_QUEUED || t->state == TASK_SCHEDULED) && place(m, t) != t->state)
		put_in_place(m, t);
	else
		go(m, t, t->state);
	return true;
}

/* --- the clocks --- */

static bool over(int64_t deadline, int64_t now)
{
	return deadline != 0 && deadline <= now;
}

static int64_t sooner(int64_t a, int64_t b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

/* When a clock is to look at it; 0: never. */
static int64_t due_at(const struct model_task *t, bool wall)
{
	bool waits = t->state == TASK_SCHEDULED || t->state == TASK_RETRYING;
	bool begins = waits || t->state == TASK_QUEUED;
	int64_t at = 0;

	if (!model_waiting(t) || t->gone)
		return 0;
	if (begins && t->turn_wall == wall)
		at = sooner(waits ? t->turn : 0, t->start_by);
	return wall ? at : sooner(at, t->finish_by);
}

static void tick_one(struct model *m, struct model_task *t)
{
	bool begins = t->state == TASK_QUEUED || t->state == TASK_SCHEDULED || t->state == TASK_RETRYING;

	if (over(t->finish_by, m->now))
		go(m, t, t->attempt > 0 && t->state != TASK_SCHEDULED ? TASK_FAILED : TASK_EXPIRED);
	else if (begins && over(t->start_by, t->turn_wall ? m->wall : m->now))
		go(m, t, TASK_EXPIRED);
	else
		model_run_now(m, (int)(t - m->tasks));
}

/* The longest due first: its key may go to another before that one's own time is over. */
static void tick_all(struct model *m, bool wall)
{
	for (;;) {
		struct model_task *first = NULL;

		for (int i = 0; i < m->n; i++) {
			struct model_task *t = &m->tasks[i];

			if (over(due_at(t, wall), wall ? m->wall : m->now) &&
			    (first == NULL || due_at(t, wall) < due_at(first, wall)))
				first = t;
		}
		if (first == NULL)
			return;
		tick_one(m, first);
	}
}

void model_tick(struct model *m)
{
	/* a key that goes on to another may bring that one's own deadline to light */
	for (int again = 0; again < 3; again++) {
		tick_all(m, false);
		tick_all(m, true);
		for (int k = 0; k < MODEL_KEYS; k++)
			if (m->keys[k].holder >= 0 && over(m->keys[k].until, m->now))
				free_key(m, k);
	}
	for (int i = 0; i < m->n; i++)
		if (!model_live(&m->tasks[i]) && over(m->tasks[i].forget_at, m->now))
			m->tasks[i].gone = true;
}
