/* worker_set.c: what the workers of one name have brought: their services are a source of
 * methods, their queues are run by workers from then on; both outlive them and us. It is
 * one record by that name, the fields 1 to 4 of RegisterWorkerRequest. The newest counts. A set
 * is kept until the end, also when it is forgotten: methods point to it. */
#define _GNU_SOURCE
#include "service/worker_impl.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "errand/status.h"
#include "service/store_thread.h"
#include "service/task_engine.h"
#include "service/task_options.h"

#define OWN_PREFIX "errand."

static struct map sets = MAP_INIT; /* by name */
static size_t n_sets;

#define REFUSE(code, ...) (snprintf(why, why_size, __VA_ARGS__), -(code))

struct worker_set *worker_set_find(const char *name)
{
	struct worker_set *set = map_get_str(&sets, name);

	return set != NULL && set->given != NULL ? set : NULL;
}

struct worker_set *worker_set_next(size_t *posp)
{
	return map_next(&sets, posp);
}

/* --- what may be registered --- */

/* The method of ours whose tasks have that queue by themselves; NULL. */
static const struct method *local_method(const char *queue)
{
	const struct schema *s = registry_schema();

	for (size_t i = 0; i < schema_n_services(s); i++) {
		const struct schema_service *service = schema_service_at(s, i);

		for (size_t k = 0; k < service->n_methods; k++) {
			const struct method *m = registry_method_by_name(service->methods[k].full_name);

			if (m != NULL && m->run == RUN_TASK && !worker_has_method(m) && strcmp(m->queue, queue) == 0)
				return m;
		}
	}
	return NULL;
}

static int check_queue(const char *queue, char *why, size_t why_size)
{
	const struct method *m;

	if (!task_queue_name_ok(queue))
		return REFUSE(ERRAND_INVALID_ARGUMENT, "queue \"%.120s\": a queue's name has letters, digits, '.', '_' "
			      "and '-', at most 100", queue);
	if (strcmp(queue, "default") == 0)
		return REFUSE(ERRAND_INVALID_ARGUMENT, "queue default is the service's own, for what names no other: "
			      "take another name");
	m = local_method(queue);
	if (m != NULL)
		return REFUSE(ERRAND_FAILED_PRECONDITION, "queue %.100s is the service's own: %.200s runs in it",
			      queue, m->schema->full_name);
	return 0;
}

static void add_text(char ***list, size_t *n, const char *name)
{
	for (size_t i = 0; i < *n; i++)
		if (strcmp((*list)[i], name) == 0)
			return;
	*list = xrealloc(*list, (*n + 1) * sizeof **list);
	(*list)[(*n)++] = xstrdup(name);
}

static void queues_free(struct worker_queues *q)
{
	for (size_t i = 0; i < q->n; i++)
		free(q->names[i]);
	free(q->names);
}

static int add_methods(const struct schema *s, const char *name, struct worker_queues *out, char *why,
		       size_t why_size)
{
	const struct schema_service *service = schema_service(s, name, strlen(name));

	if (strncmp(name, OWN_PREFIX, strlen(OWN_PREFIX)) == 0)
		return REFUSE(ERRAND_INVALID_ARGUMENT, "service %.200s: names that begin with %s are errand's own",
			      name, OWN_PREFIX);
	if (service == NULL)
		return REFUSE(ERRAND_INVALID_ARGUMENT, "the descriptor set does not describe service %.200s", name);
	add_text(&out->names, &out->n, name); /* of those that name none, and of calls that become tasks */
	for (size_t i = 0; i < service->n_methods; i++)
		if (*service->methods[i].queue != '\0')
			add_text(&out->names, &out->n, service->methods[i].queue);
	return 0;
}

/* The queues of what is given: first those of its services, n_services of them; lists are
 * filled also when it is refused. */
static int find_queues(const Errand__V1__RegisterWorkerRequest *in, struct worker_queues *out, char *why,
		       size_t why_size)
{
	struct schema *s = NULL;
	int r = 0;

	*out = (struct worker_queues){0};
	if (in->n_services > 0)
		r = schema_load(in->descriptor_set.data, in->descriptor_set.len, &s, why, why_size);
	for (size_t i = 0; i < in->n_services && r == 0; i++)
		r = add_methods(s, in->services[i], out, why, why_size);
	out->n_services = out->n;
	for (size_t i = 0; i < in->n_queues; i++)
		add_text(&out->names, &out->n, in->queues[i]);
	for (size_t i = 0; i < out->n && r == 0; i++)
		r = check_queue(out->names[i], why, why_size);
	schema_unref(s);
	return r;
}

/* --- in memory --- */

static struct worker_set *set_get(const char *name)
{
	struct worker_set *set = map_get_str(&sets, name);

	if (set != NULL || n_sets >= WORKER_SETS_MAX)
		return set;
	set = xcalloc(1, sizeof *set);
	set->name = xstrdup(name);
	set->source = xasprintf("worker %s", name);
	list_init(&set->workers);
	list_init(&set->waiting);
	map_put_str(&sets, name, set);
	n_sets++;
	return set;
}

/* NULL: out of memory. */
static Errand__V1__RegisterWorkerRequest *copy_of(const Errand__V1__RegisterWorkerRequest *in)
{
	Errand__V1__RegisterWorkerRequest kept = ERRAND__V1__REGISTER_WORKER_REQUEST__INIT;
	AUTO_BUF packed = BUF_INIT;

	kept.name = in->name;
	kept.n_services = in->n_services;
	kept.services = in->services;
	if (in->n_services > 0)
		kept.descriptor_set = in->descriptor_set;
	kept.n_queues = in->n_queues;
	kept.queues = in->queues;
	buf_reserve(&packed, errand__v1__register_worker_request__get_packed_size(&kept) + 1);
	packed.len = errand__v1__register_worker_request__pack(&kept, packed.data);
	return errand__v1__register_worker_request__unpack(NULL, packed.len, packed.data);
}

static bool has_text(char *const *list, size_t n, const char *text)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i], text) == 0)
			return true;
	return false;
}

static bool same_services(const Errand__V1__RegisterWorkerRequest *a,
			  const Errand__V1__RegisterWorkerRequest *b)
{
	for (size_t i = 0; i < a->n_services; i++)
		if (!has_text(b->services, b->n_services, a->services[i]))
			return false;
	return a->n_services == b->n_services &&
	       (a->n_services == 0 || (a->descriptor_set.len == b->descriptor_set.len &&
		memcmp(a->descriptor_set.data, b->descriptor_set.data, a->descriptor_set.len) == 0));
}

static int set_source(struct worker_set *set, const Errand__V1__RegisterWorkerRequest *in, char *why,
		      size_t why_size)
{
	const char **names = xcalloc(in->n_services + 1, sizeof *names);
	struct method_source source = {
		.name = set->source, .services = names,
		.descriptor_set = {in->descriptor_set.data, in->descriptor_set.len},
		.runner = &worker_call_runner, .arg = set,
		.queue = "", /* the service's name */
	};
	int r = 0;

	for (size_t i = 0; i < in->n_services; i++)
		names[i] = in->services[i];
	if (in->n_services > 0)
		r = registry_set_source(&source, why, why_size);
	else
		registry_remove_source(set->source);
	free(names);
	return r;
}

/* Takes given and queues. The new queues first: one that stays is workers' throughout. */
static void set_content(struct worker_set *set, Errand__V1__RegisterWorkerRequest *given,
			struct worker_queues *queues)
{
	for (size_t i = 0; i < queues->n; i++)
		worker_queue_hold(queues->names[i]);
	for (size_t i = 0; i < set->queues.n; i++)
		worker_queue_drop(set->queues.names[i]);
	queues_free(&set->queues);
	if (set->given != NULL)
		errand__v1__register_worker_request__free_unpacked(set->given, NULL);
	set->given = given;
	set->queues = *queues;
	set->stored = false;
}

/* Queues of workers that share a name and all else are everybody's. */
static void join_queues(Errand__V1__RegisterWorkerRequest *now, const Errand__V1__RegisterWorkerRequest *old)
{
	for (size_t i = 0; i < old->n_queues; i++)
		add_text(&now->queues, &now->n_queues, old->queues[i]);
}

static bool has_queues(const struct worker_set *set, const Errand__V1__RegisterWorkerRequest *in)
{
	for (size_t i = 0; i < in->n_queues; i++)
		if (!has_text(set->given->queues, set->given->n_queues, in->queues[i]))
			return false;
	return true;
}

int worker_set_put(const Errand__V1__RegisterWorkerRequest *in, struct worker_set **out, char *why,
		   size_t why_size)
{
	struct worker_set *set = set_get(in->name);
	bool same = set != NULL && set->given != NULL && same_services(set->given, in);
	Errand__V1__RegisterWorkerRequest *given;
	struct worker_queues queues;
	int r;

	*out = set;
	if (set == NULL)
		return REFUSE(ERRAND_RESOURCE_EXHAUSTED, "there are %d names of workers already: forget some",
			      WORKER_SETS_MAX);
	if (same && has_queues(set, in))
		return 0;
	given = copy_of(in);
	if (given == NULL)
		return REFUSE(ERRAND_RESOURCE_EXHAUSTED, "out of memory");
	if (same)
		join_queues(given, set->given);
	r = find_queues(given, &queues, why, why_size);
	if (r == 0 && !same)
		r = set_source(set, given, why, why_size);
	if (r < 0) {
		queues_free(&queues);
		errand__v1__register_worker_request__free_unpacked(given, NULL);
		return r;
	}
	set_content(set, given, &queues);
	set->version += !same;
	return 0;
}

/* --- in the store --- */

struct put {
	struct store_op op;
	struct record record;
	struct worker_set *set;
	unsigned version;
	size_t n_queues;
	void (*done)(int code, void *arg);
	void *arg;
};

static int put_run(struct store_op *op, const struct store_ops *ops, struct store *s)
{
	struct put *p = CONTAINER_OF(op, struct put, op);

	return ops->put_record(s, &p->record);
}

static void put_done(struct store_op *op, int code)
{
	struct put *p = CONTAINER_OF(op, struct put, op);

	if (code == 0 && p->set->version == p->version && p->set->queues.n == p->n_queues)
		p->set->stored = true;
	p->done(code, p->arg);
	record_deinit(&p->record);
	free(p);
}

void worker_set_store(struct worker_set *set, void (*done)(int code, void *arg), void *arg)
{
	struct put *p;
	uint8_t *room;

	if (set->stored) {
		done(0, arg);
		return;
	}
	p = xcalloc(1, sizeof *p);
	*p = (struct put){.op = {.run = put_run, .done = put_done, .writes = true}, .set = set,
			  .version = set->version, .n_queues = set->queues.n, .done = done, .arg = arg};
	p->record.kind = RECORD_WORKER;
	buf_append_str(&p->record.key, set->name);
	room = buf_reserve(&p->record.data, errand__v1__register_worker_request__get_packed_size(set->given) + 1);
	p->record.data.len = errand__v1__register_worker_request__pack(set->given, room);
	store_thread_submit(&p->op);
}

static int remove_run(struct store_op *op, const struct store_ops *ops, struct store *s)
{
	struct put *p = CONTAINER_OF(op, struct put, op);
	int r = ops->remove_record(s, RECORD_WORKER, buf_bytes(&p->record.key));

	return r == -ERRAND_NOT_FOUND ? 0 : r;
}

static void remove_done(struct store_op *op, int code)
{
	struct worker_queues none = {0};
	struct put *p = CONTAINER_OF(op, struct put, op);

	if (code == 0 && list_empty(&p->set->workers) && p->set->version == p->version) {
		registry_remove_source(p->set->source);
		set_content(p->set, NULL, &none);
	} else if (code == 0) {
		p->set->stored = false; /* one of that name has come meanwhile */
	}
	p->done(code, p->arg);
	record_deinit(&p->record);
	free(p);
}

const char *worker_set_busy(const struct worker_set *set)
{
	for (size_t i = 0; i < set->queues.n; i++)
		if (worker_queue_get(set->queues.names[i])->n_sets == 1 &&
		    task_queue_get(set->queues.names[i])->n_queued > 0)
			return set->queues.names[i];
	return NULL;
}

void worker_set_forget(const char *name, void (*done)(int code, void *arg), void *arg)
{
	struct worker_set *set = worker_set_find(name);
	struct put *p = xcalloc(1, sizeof *p);

	*p = (struct put){.op = {.run = remove_run, .done = remove_done, .writes = true, .finishes = true},
			  .set = set, .version = set->version, .done = done, .arg = arg};
	p->record.kind = RECORD_WORKER;
	buf_append_str(&p->record.key, name);
	store_thread_submit(&p->op);
}

/* --- at the start --- */

/* Of what does not go with us any more (a module has its service now) the queues stay workers'
 * where they can, so that their tasks wait and do not fail. */
static void keep_queues(const Errand__V1__RegisterWorkerRequest *in)
{
	Errand__V1__RegisterWorkerRequest bare = ERRAND__V1__REGISTER_WORKER_REQUEST__INIT, *given;
	struct worker_set *set = set_get(in->name);
	struct worker_queues all, good = {0};
	char why[512];

	bare.name = in->name;
	given = set != NULL ? copy_of(&bare) : NULL;
	if (given == NULL)
		return;
	find_queues(in, &all, why, sizeof why);
	for (size_t i = 0; i < all.n; i++)
		if (check_queue(all.names[i], why, sizeof why) == 0)
			add_text(&good.names, &good.n, all.names[i]);
	queues_free(&all);
	set_content(set, given, &good);
	set->stored = true;
}

static void load_one(const struct record *r)
{
	Errand__V1__RegisterWorkerRequest *in =
		errand__v1__register_worker_request__unpack(NULL, r->data.len, r->data.data);
	struct worker_set *set;
	char why[512];

	if (in == NULL) {
		log_error("the record of a worker cannot be read", "name=%.*s", (int)r->key.len, r->key.data);
		return;
	}
	if (worker_set_put(in, &set, why, sizeof why) == 0) {
		set->stored = true;
	} else {
		log_error("what a worker has registered does not go with this service any more", "name=%s reason=\"%s\"",
			  in->name, why);
		keep_queues(in);
	}
	errand__v1__register_worker_request__free_unpacked(in, NULL);
}

int worker_load(const struct store_ops *ops, struct store *s)
{
	struct record *rows = NULL;
	size_t n = 0;
	int r = ops->list_records(s, RECORD_WORKER, (struct bytes){0}, (struct bytes){0}, WORKER_SETS_MAX, &rows, &n);

	for (size_t i = 0; i < n && r == 0; i++)
		load_one(&rows[i]);
	records_free(rows, n);
	return r;
}

void worker_set_deinit(void)
{
	struct worker_set *set;

	for (size_t pos = 0; (set = map_next(&sets, &pos)) != NULL;) {
		queues_free(&set->queues);
		if (set->given != NULL)
			errand__v1__register_worker_request__free_unpacked(set->given, NULL);
		free(set->source);
		free(set->name);
		free(set);
	}
	map_deinit(&sets);
	n_sets = 0;
}
