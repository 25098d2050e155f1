/* Routes as a trie of path segments. A path is cut into segments once, on the
 * stack; then the trie is walked literal first, then `*`, then `**`, each node at
 * most once, since only one chain of segments leads to it. A request whose last
 * segment has a colon is first read as `segment:verb` (AIP-136), and as a plain
 * segment when no route has that verb.
 *
 * Immutable after route_table_new; any thread may look. No allocation per match. */
#define _GNU_SOURCE
#include "schema/route.h"

#include <stdio.h>

#include "base/err.h"
#include "base/json.h"

enum { SEGMENTS_MAX = TEMPLATE_SEGMENTS_MAX, LITERAL_SCRATCH = 8192, ALLOW_MAX = 64 };

struct target {
	const char *verb;   /* HTTP's; "*" = any */
	const char *custom; /* after the colon; "" */
	const struct route *route;
};

struct node {
	char *text; /* of a literal child; owned */
	size_t len;
	struct node **children; /* literals, sorted */
	size_t n_children;
	struct node *star, *star_star;
	struct target *targets;
	size_t n_targets;
};

/* One route with what it owns. */
struct entry {
	struct route route;
	struct template *template;
};

struct route_table {
	struct node *root;
	struct entry **entries; /* each owned, and at rest: targets point to it */
	size_t n_entries;
};

/* --- building --- */

static int literal_compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
	if (a_len != b_len)
		return a_len < b_len ? -1 : 1;
	return memcmp(a, b, a_len);
}

/* The child with that text; else NULL and its place in *at. */
static struct node *node_literal(const struct node *n, const char *text, size_t len, size_t *at)
{
	size_t lo = 0, hi = n->n_children;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		const struct node *c = n->children[mid];
		int d = literal_compare(text, len, c->text, c->len);

		if (d == 0)
			return n->children[mid];
		if (d < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	*at = lo;
	return NULL;
}

static struct node *node_add_literal(struct node *n, const char *text, size_t len)
{
	size_t at = 0;
	struct node *c = node_literal(n, text, len, &at);

	if (c != NULL)
		return c;
	c = xcalloc(1, sizeof *c);
	c->text = xstrndup(text, len);
	c->len = len;
	n->children = xrealloc(n->children, (n->n_children + 1) * sizeof *n->children);
	memmove(n->children + at + 1, n->children + at,
		(n->n_children - at) * sizeof *n->children);
	n->children[at] = c;
	n->n_children++;
	return c;
}

static struct node *node_add(struct node *n, const struct template_segment *s)
{
	struct node **wild = s->kind == SEGMENT_STAR ? &n->star : &n->star_star;

	if (s->kind == SEGMENT_LITERAL)
		return node_add_literal(n, s->text, strlen(s->text));
	if (*wild == NULL)
		*wild = xcalloc(1, sizeof **wild);
	return *wild;
}

static void node_free(struct node *n)
{
	if (n == NULL)
		return;
	for (size_t i = 0; i < n->n_children; i++)
		node_free(n->children[i]);
	node_free(n->star);
	node_free(n->star_star);
	free(n->children);
	free(n->targets);
	free(n->text);
	free(n);
}

static const char *route_text(const struct route *r)
{
	return r->http != NULL ? r->http->path : r->method->full_name;
}

/* Puts a route at its node; what is there already in *otherp. */
static int node_put(struct node *n, const struct target *t, const struct route **otherp)
{
	for (size_t i = 0; i < n->n_targets; i++) {
		if (strcmp(n->targets[i].verb, t->verb) == 0 &&
		    strcmp(n->targets[i].custom, t->custom) == 0) {
			*otherp = n->targets[i].route;
			return -ERRAND_INVALID_ARGUMENT;
		}
	}
	n->targets = xrealloc(n->targets, (n->n_targets + 1) * sizeof *n->targets);
	n->targets[n->n_targets++] = *t;
	return 0;
}

static int route_collision(const char *verb, const struct route *a, const struct route *b, char *why,
			   size_t why_size)
{
	snprintf(why, why_size, "%s %s of %s and %s of %s claim the same requests: change one path", verb,
		 route_text(a), a->method->full_name, route_text(b), b->method->full_name);
	return -ERRAND_INVALID_ARGUMENT;
}

static int bind_path(const struct route *r, const char *what, const char *text, const struct schema_message *m,
		     struct field_path *p, char *why, size_t why_size)
{
	if (field_path_parse(p, m, text))
		return 0;
	snprintf(why, why_size, "%s: %s: \"%s\" is not a field of %s", r->method->full_name, what, text, m->name);
	return -ERRAND_INVALID_ARGUMENT;
}

/* A body that is what the path gives already could never be sent. */
static int route_check_body(const struct route *r, char *why, size_t why_size)
{
	const struct field_path *body = &r->body_path;

	for (size_t i = 0; i < r->template->n_variables; i++) {
		const struct template_variable *v = &r->template->variables[i];

		if (v->depth > body->depth ||
		    field_relation(v->path, v->depth, body->steps, body->depth) != FIELDS_SAME)
			continue;
		snprintf(why, why_size, "%s: %s: the path gives {%s} already, it cannot be the body",
			 r->method->full_name, r->http->path, v->name);
		return -ERRAND_INVALID_ARGUMENT;
	}
	return 0;
}

/* The fields a binding names. */
static int route_bind(struct route *r, char *why, size_t why_size)
{
	const struct schema_http *h = r->http;
	const struct schema_method *m = r->method;

	r->body_all = strcmp(h->body, "*") == 0;
	if (!r->body_all && h->body[0] != '\0') {
		if (bind_path(r, "body", h->body, m->input, &r->body_path, why, why_size) < 0)
			return -ERRAND_INVALID_ARGUMENT;
		r->body = r->body_path.steps[r->body_path.depth - 1];
		if (route_check_body(r, why, why_size) < 0)
			return -ERRAND_INVALID_ARGUMENT;
	}
	if (h->response_body[0] == '\0')
		return 0;
	if (bind_path(r, "response_body", h->response_body, m->output, &r->response_path, why, why_size) < 0)
		return -ERRAND_INVALID_ARGUMENT;
	r->response_body = r->response_path.steps[r->response_path.depth - 1];
	return 0;
}

/* Never fails to link the entry in, so that the table frees it. */
static struct entry *table_entry(struct route_table *t, const struct schema_method *m,
				 const struct schema_http *http)
{
	struct entry *e = xcalloc(1, sizeof *e);

	e->route.method = m;
	e->route.http = http;
	if ((t->n_entries & (t->n_entries - 1)) == 0)
		t->entries = xrealloc(t->entries, MAX(2 * t->n_entries, 1) * sizeof *t->entries);
	t->entries[t->n_entries++] = e;
	return e;
}

static int table_add_http(struct route_table *t, const struct schema_method *m,
			  const struct schema_http *http, char *why, size_t why_size)
{
	struct entry *e = table_entry(t, m, http);
	struct node *n = t->root;
	const struct route *other = NULL;
	char reason[256] = "";
	struct target target;

	if (template_parse(http->path, m->input, &e->template, reason, sizeof reason) < 0) {
		snprintf(why, why_size, "%s: %s: %s", m->full_name, http->path, reason);
		return -ERRAND_INVALID_ARGUMENT;
	}
	e->route.template = e->template;
	if (route_bind(&e->route, why, why_size) < 0)
		return -ERRAND_INVALID_ARGUMENT;
	for (size_t i = 0; i < e->template->n_segments; i++)
		n = node_add(n, &e->template->segments[i]);
	target = (struct target){http->verb, e->template->verb ? e->template->verb : "", &e->route};
	if (node_put(n, &target, &other) < 0)
		return route_collision(http->verb, other, &e->route, why, why_size);
	return 0;
}

/* POST /pkg.Service/Method. */
static int table_add_rpc(struct route_table *t, const struct schema_method *m, char *why, size_t why_size)
{
	struct entry *e = table_entry(t, m, NULL);
	struct node *n = node_add_literal(t->root, m->service->name, strlen(m->service->name));
	const struct target target = {"POST", "", &e->route};
	const struct route *other = NULL;

	e->route.body_all = true;
	n = node_add_literal(n, m->name, strlen(m->name));
	if (node_put(n, &target, &other) < 0 && other->method != m)
		return route_collision("POST", other, &e->route, why, why_size);
	return 0;
}

static int table_add_method(struct route_table *t, const struct schema_method *m, bool rpc, char *why,
			    size_t why_size)
{
	if (m->local)
		return 0; /* for the socket only */
	if (rpc)
		return table_add_rpc(t, m, why, why_size);
	for (size_t i = 0; i < m->n_http; i++)
		if (table_add_http(t, m, &m->http[i], why, why_size) < 0)
			return -ERRAND_INVALID_ARGUMENT;
	return 0;
}

/* Annotated routes first: they may spell out the one every method has. */
static int table_fill(struct route_table *t, const struct schema *s, bool rpc, char *why, size_t why_size)
{
	for (size_t i = 0; i < schema_n_services(s); i++) {
		const struct schema_service *service = schema_service_at(s, i);

		for (size_t k = 0; k < service->n_methods; k++)
			if (table_add_method(t, &service->methods[k], rpc, why, why_size) < 0)
				return -ERRAND_INVALID_ARGUMENT;
	}
	return 0;
}

int route_table_new(const struct schema *s, struct route_table **out, char *why, size_t why_size)
{
	struct route_table *t = xcalloc(1, sizeof *t);

	t->root = xcalloc(1, sizeof *t->root);
	if (table_fill(t, s, false, why, why_size) < 0 || table_fill(t, s, true, why, why_size) < 0) {
		route_table_free(t);
		return -ERRAND_INVALID_ARGUMENT;
	}
	*out = t;
	return 0;
}

struct route_table *route_table_free(struct route_table *t)
{
	if (t == NULL)
		return NULL;
	for (size_t i = 0; i < t->n_entries; i++) {
		template_free(t->entries[i]->template);
		free(t->entries[i]);
	}
	free(t->entries);
	node_free(t->root);
	free(t);
	return NULL;
}

const struct route *route_at(const struct route_table *t, size_t n)
{
	return n < t->n_entries ? &t->entries[n]->route : NULL;
}

bool route_has_verb(const struct route_table *t, const char *verb)
{
	for (size_t i = 0; i < t->n_entries; i++) {
		const struct route *r = &t->entries[i]->route;

		if (strcmp(r->http != NULL ? r->http->verb : "POST", verb) == 0)
			return true;
	}
	return false;
}

bool route_is_below(const struct route *r, const char *path)
{
	const struct template *t = r->template;

	for (size_t i = 0; *path != '\0'; i++) {
		size_t len = strcspn(++path, "/");
		const char *text;

		if (len == 0)
			return true; /* the slash at the end of path */
		text = t == NULL ? i == 0 ? r->method->service->name : i == 1 ? r->method->name : NULL :
		       i < t->n_segments ? t->segments[i].text : NULL;
		if (text == NULL || strlen(text) != len || memcmp(text, path, len) != 0)
			return false;
		path += len;
		if (*path == '\0')
			return i + 1 == (t == NULL ? 2 : t->n_segments) && (t == NULL || t->verb == NULL);
	}
	return false;
}

/* --- matching --- */

/* A path on its way through the trie; on the stack. */
struct walk {
	struct bytes segments[SEGMENTS_MAX]; /* as sent */
	struct bytes literals[SEGMENTS_MAX]; /* decoded, to compare */
	size_t n;
	const char *verb;
	struct bytes custom;
	const char *allow[ALLOW_MAX]; /* verbs of the nodes that match */
	size_t n_allow;
	char scratch[LITERAL_SCRATCH];
	size_t n_scratch;
};

static int hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that `%XX` at p says; -1 when it says none. */
static int percent(const uint8_t *p, const uint8_t *end)
{
	int hi, lo;

	if (end - p < 3)
		return -1;
	hi = hex(p[1]);
	lo = hex(p[2]);
	return hi < 0 || lo < 0 ? -1 : hi << 4 | lo;
}

bool route_decode(struct bytes value, bool multi, struct buf *out)
{
	const uint8_t *p = value.data, *end = p + value.len;
	size_t start = out->len;

	while (p < end) {
		int c = *p;

		if (c == '%') {
			c = percent(p, end);
			if (c <= 0)
				return false;
			if (multi && c == '/')
				buf_append(out, p, 3);
			else
				buf_append_byte(out, (uint8_t)c);
			p += 3;
			continue;
		}
		buf_append_byte(out, (uint8_t)c);
		p++;
	}
	return out->len == start ||
	       json_utf8_valid(out->data + start, out->len - start) == out->len - start;
}

/* A segment as literals are compared: decoded. The scratch holds the longest path
 * that the gate lets through. */
static int walk_literal(struct walk *w, struct bytes raw, struct bytes *out)
{
	const uint8_t *p = raw.data, *end = p + raw.len;
	char *to = w->scratch + w->n_scratch;
	size_t n = 0, room = LITERAL_SCRATCH - w->n_scratch;

	*out = raw;
	if (raw.len == 0 || memchr(p, '%', raw.len) == NULL)
		return 0;
	for (; p < end; n++) {
		int c = *p == '%' ? percent(p, end) : *p;

		if (c <= 0)
			return -ERRAND_INVALID_ARGUMENT;
		p += *p == '%' ? 3 : 1;
		if (n == room)
			return -ERRAND_NOT_FOUND;
		to[n] = (char)c;
	}
	*out = (struct bytes){(const uint8_t *)to, n};
	w->n_scratch += n;
	return 0;
}

/* "." and ".." lead nowhere, however they are spelled and whatever somebody behind
 * the method may take for the end of a segment; neither do empty segments. */
static bool segment_is_odd(struct bytes s)
{
	const char *p = (const char *)s.data, *end = p + s.len;

	for (bool first = true; p <= end; p++, first = false) {
		size_t part = 0, name = 0;

		while (p + part < end && p[part] != '/' && p[part] != '\\')
			part++;
		while (name < part && p[name] != ';' && p[name] != ':')
			name++;
		if ((name == 1 || name == 2) && memcmp(p, "..", name) == 0)
			return true;
		if (first && part == s.len && s.len == 0)
			return true;
		p += part;
	}
	return false;
}

static int walk_split(struct walk *w, const char *path)
{
	const char *p = path;
	int r;

	w->n = w->n_scratch = w->n_allow = 0;
	w->custom = (struct bytes){NULL, 0};
	if (*p != '/')
		return -ERRAND_NOT_FOUND;
	if (p[1] == '\0')
		return 0;
	while (*p == '/') {
		const char *end = strchrnul(++p, '/');
		struct bytes raw = {(const uint8_t *)p, (size_t)(end - p)};

		if (w->n == SEGMENTS_MAX)
			return -ERRAND_NOT_FOUND;
		r = walk_literal(w, raw, &w->literals[w->n]);
		if (r < 0)
			return r;
		if (segment_is_odd(w->literals[w->n]))
			return -ERRAND_NOT_FOUND;
		w->segments[w->n++] = raw;
		p = end;
	}
	return 0;
}

static void walk_allow(struct walk *w, const char *verb)
{
	static const char *const any[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};

	for (size_t i = 0; strcmp(verb, "*") == 0 && i < ARRAY_LEN(any); i++)
		walk_allow(w, any[i]);
	if (strcmp(verb, "*") == 0)
		return;
	for (size_t i = 0; i < w->n_allow; i++)
		if (strcmp(w->allow[i], verb) == 0)
			return;
	if (w->n_allow < ALLOW_MAX)
		w->allow[w->n_allow++] = verb;
	if (strcmp(verb, "GET") == 0)
		walk_allow(w, "HEAD");
}

/* How well a route's verb suits a request's: 0 = not. GET answers HEAD. */
static int verb_rank(const char *route, const char *request)
{
	if (request == NULL)
		return 0;
	if (strcmp(route, request) == 0)
		return 3;
	if (strcmp(route, "GET") == 0 && strcmp(request, "HEAD") == 0)
		return 2;
	return strcmp(route, "*") == 0;
}

/* The path ends at this node: is the verb there? */
static const struct route *node_match(struct walk *w, const struct node *n)
{
	const struct route *best = NULL;
	int best_rank = 0;

	for (size_t i = 0; i < n->n_targets; i++) {
		const struct target *t = &n->targets[i];
		int rank = verb_rank(t->verb, w->verb);

		if (strlen(t->custom) != w->custom.len ||
		    (w->custom.len != 0 && memcmp(t->custom, w->custom.data, w->custom.len) != 0))
			continue;
		if (rank == 0)
			walk_allow(w, t->verb);
		if (rank > best_rank) {
			best = t->route;
			best_rank = rank;
		}
	}
	return best;
}

/* From node n with segments i.. left. Depth is bounded by the longest template. */
static const struct route *walk_node(struct walk *w, const struct node *n, size_t i)
{
	const struct route *r = NULL;
	size_t at;

	if (i == w->n)
		r = node_match(w, n);
	if (i < w->n && n->n_children != 0) {
		const struct bytes l = w->literals[i];
		const struct node *c = node_literal(n, (const char *)l.data, l.len, &at);

		if (c != NULL)
			r = walk_node(w, c, i + 1);
	}
	if (r == NULL && i < w->n && n->star != NULL)
		r = walk_node(w, n->star, i + 1);
	if (r == NULL && n->star_star != NULL)
		r = node_match(w, n->star_star);
	return r;
}

/* Reads the last segment as `segment:verb`. False when it has no colon. */
static bool walk_cut_verb(struct walk *w)
{
	struct bytes *last = &w->segments[w->n - 1], *literal = &w->literals[w->n - 1];
	const uint8_t *colon = memrchr(last->data, ':', last->len);
	struct bytes raw;

	if (colon == NULL || colon == last->data)
		return false;
	raw = (struct bytes){colon + 1, last->len - (size_t)(colon + 1 - last->data)};
	if (raw.len == 0 || walk_literal(w, raw, &w->custom) < 0)
		return false;
	last->len -= raw.len + 1;
	literal->len -= w->custom.len + 1; /* the colon itself is not an escape */
	return true;
}

static const struct route *walk_route(struct walk *w, const struct node *root)
{
	const struct route *r;
	struct bytes last, literal;

	if (w->n != 0) {
		last = w->segments[w->n - 1];
		literal = w->literals[w->n - 1];
		if (walk_cut_verb(w)) {
			r = walk_node(w, root, 0);
			if (r != NULL || w->n_allow != 0)
				return r;
		}
		w->segments[w->n - 1] = last;
		w->literals[w->n - 1] = literal;
		w->custom = (struct bytes){NULL, 0};
	}
	return walk_node(w, root, 0);
}

static void walk_values(const struct walk *w, struct route_match *out)
{
	const struct template *t = out->route->template;

	for (size_t i = 0; t != NULL && i < t->n_variables; i++) {
		const struct template_variable *v = &t->variables[i];
		size_t last = v->first + v->n - 1;
		const uint8_t *begin, *end;

		if (t->segments[last].kind == SEGMENT_STAR_STAR)
			last = w->n - 1;
		if (v->first >= w->n) { /* ** that covers nothing */
			out->values[i] = (struct bytes){(const uint8_t *)"", 0};
			continue;
		}
		begin = w->segments[v->first].data;
		end = w->segments[last].data + w->segments[last].len;
		out->values[i] = (struct bytes){begin, (size_t)(end - begin)};
	}
}

static void walk_write_allow(struct walk *w, struct buf *allow)
{
	walk_allow(w, "OPTIONS");
	for (size_t i = 0; i < w->n_allow; i++)
		buf_printf(allow, "%s%s", i > 0 ? ", " : "", w->allow[i]);
}

int route_find(const struct route_table *t, const char *verb, const char *path,
	       struct route_match *out, struct buf *allow)
{
	struct walk w;
	int r = walk_split(&w, path);

	if (r < 0)
		return r;
	w.verb = verb;
	out->route = walk_route(&w, t->root);
	if (out->route != NULL) {
		walk_values(&w, out);
		return 0;
	}
	if (w.n_allow == 0)
		return -ERRAND_NOT_FOUND;
	walk_write_allow(&w, allow);
	return -ERRAND_UNIMPLEMENTED;
}
