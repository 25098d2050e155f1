/* depends.c: see depends.h. The order is a depth-first walk; a dependency met
 * again while it is on the way down closes a circle, and the way is the error. */
#include "service/depends.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/util.h"

enum mark { MARK_NEW, MARK_ENTERED, MARK_DONE };

struct override {
	const char *name;
	void *value;
};

static struct dependency **all; /* owned */
static size_t n_all;
static struct override *overrides; /* owned */
static size_t n_overrides;
static struct dependency **opened; /* owned: PROCESS ones, in opening order */
static size_t n_opened;

#define REFUSE(...) (snprintf(why, why_size, __VA_ARGS__), -ERRAND_FAILED_PRECONDITION)

static struct dependency *find(const char *name)
{
	for (size_t i = 0; i < n_all; i++)
		if (strcmp(all[i]->def->name, name) == 0)
			return all[i];
	return NULL;
}

const struct dependency *depends_find(const char *name)
{
	return find(name);
}

void depends_override(const char *name, void *value)
{
	overrides = xrealloc(overrides, (n_overrides + 1) * sizeof *overrides);
	overrides[n_overrides++] = (struct override){name, value};
}

int depends_add(const struct errand_dependency *list, char *why, size_t why_size)
{
	for (const struct errand_dependency *def = list; def != NULL && def->name != NULL; def++) {
		struct dependency *d;

		if (find(def->name) != NULL)
			return REFUSE("dependency %s is defined twice: rename one", def->name);
		if (def->open == NULL)
			return REFUSE("dependency %s has no open function", def->name);
		d = xcalloc(1, sizeof *d);
		d->def = def;
		all = xrealloc(all, (n_all + 1) * sizeof(struct dependency *));
		all[n_all++] = d;
	}
	return 0;
}

static int link_needs(struct dependency *d, char *why, size_t why_size)
{
	for (const char *const *n = d->def->needs; n != NULL && *n != NULL; n++) {
		struct dependency *other = find(*n);

		if (other == NULL)
			return REFUSE("dependency %s needs %s, which no module defines", d->def->name, *n);
		if (d->def->scope == ERRAND_SCOPE_PROCESS && other->def->scope == ERRAND_SCOPE_CALL)
			return REFUSE("dependency %s lives as long as the process and cannot need %s, which "
				      "lives as long as a call",
				      d->def->name, *n);
		d->needs = xrealloc(d->needs, (d->n_needs + 1) * sizeof(struct dependency *));
		d->needs[d->n_needs++] = other;
	}
	return 0;
}

/* The list being built, in opening order. */
struct order {
	const struct dependency **items;
	size_t n;
	struct buf way; /* names from the first to the current one */
};

static int visit(struct dependency *d, struct order *o, char *why, size_t why_size)
{
	size_t len = o->way.len;

	if (d->mark == MARK_DONE)
		return 0;
	buf_printf(&o->way, "%s%s", len ? " -> " : "", d->def->name);
	if (d->mark == MARK_ENTERED)
		return REFUSE("dependencies go in a circle: %s", buf_cstr(&o->way));
	d->mark = MARK_ENTERED;
	/* What is given from outside opens nothing below itself. */
	for (size_t i = 0; i < d->n_needs && !d->overridden; i++) {
		int r = visit(d->needs[i], o, why, why_size);

		if (r < 0)
			return r;
	}
	o->way.len = len;
	d->mark = MARK_DONE;
	o->items = xrealloc(o->items, (o->n + 2) * sizeof(struct dependency *));
	o->items[o->n++] = d;
	o->items[o->n] = NULL;
	return 0;
}

static void clear_marks(void)
{
	for (size_t i = 0; i < n_all; i++)
		all[i]->mark = MARK_NEW;
}

static int check_circles(char *why, size_t why_size)
{
	struct order o = {0};
	int r = 0;

	clear_marks();
	for (size_t i = 0; i < n_all && r == 0; i++)
		r = visit(all[i], &o, why, why_size);
	buf_deinit(&o.way);
	free(o.items);
	return r;
}

static int apply_overrides(char *why, size_t why_size)
{
	for (size_t i = 0; i < n_overrides; i++) {
		struct dependency *d = find(overrides[i].name);

		if (d == NULL)
			return REFUSE("errand_override: no module defines dependency %s", overrides[i].name);
		d->overridden = true;
		d->value = overrides[i].value;
	}
	return 0;
}

int depends_finish(char *why, size_t why_size)
{
	int r = 0;

	for (size_t i = 0; i < n_all && r == 0; i++)
		r = link_needs(all[i], why, why_size);
	if (r == 0)
		r = check_circles(why, why_size);
	if (r == 0)
		r = apply_overrides(why, why_size);
	return r;
}

int depends_resolve(const char *const *names, const char *who, const struct dependency ***out,
		    char *why, size_t why_size)
{
	struct order o = {.items = xcalloc(1, sizeof(struct dependency *))};
	int r = 0;

	clear_marks();
	for (; names != NULL && *names != NULL && r == 0; names++) {
		struct dependency *d = find(*names);

		r = d != NULL ? visit(d, &o, why, why_size)
			      : REFUSE("%s needs dependency %s, which no module defines", who, *names);
	}
	buf_deinit(&o.way);
	if (r < 0) {
		free(o.items);
		return r;
	}
	*out = o.items;
	return 0;
}

static int open_one(struct dependency *d, char *why, size_t why_size)
{
	int r = d->def->open(NULL, &d->value);

	if (r < 0) {
		snprintf(why, why_size, "dependency %s could not be opened: %s", d->def->name,
			 err_info(-r)->name);
		return r;
	}
	d->open = true;
	opened[n_opened++] = d;
	return 0;
}

int depends_open_process(char *why, size_t why_size)
{
	struct order o = {0};
	int r = 0;

	clear_marks();
	for (size_t i = 0; i < n_all && r == 0; i++)
		if (all[i]->def->scope == ERRAND_SCOPE_PROCESS && !all[i]->overridden)
			r = visit(all[i], &o, why, why_size);
	opened = xcalloc(o.n + 1, sizeof(struct dependency *));
	for (size_t i = 0; i < o.n && r == 0; i++) {
		struct dependency *d = find(o.items[i]->def->name);

		if (!d->overridden)
			r = open_one(d, why, why_size);
	}
	buf_deinit(&o.way);
	free(o.items);
	if (r < 0)
		depends_close_process();
	return r;
}

void depends_close_process(void)
{
	while (n_opened > 0) {
		struct dependency *d = opened[--n_opened];

		d->open = false;
		if (d->def->close != NULL)
			d->def->close(d->value, 0);
	}
}

void depends_deinit(void)
{
	for (size_t i = 0; i < n_all; i++) {
		free(all[i]->needs);
		free(all[i]);
	}
	free(all);
	free(overrides);
	free(opened);
	all = NULL;
	overrides = NULL;
	opened = NULL;
	n_all = n_overrides = n_opened = 0;
}
