/* token.c: `errand token`: the bearer tokens of a gateway (base/token.h). Works on the file
 * alone, so on the gateway's machine, also while that does not run; a gateway that runs sees the change
 * within a second. A token's text is shown once, when it is made, and is nowhere else. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/token.h"
#include "cli/cli.h"
#include "cli/table.h"
#include "errand/status.h"

#define TOKENS SYSCONFDIR "/errand/tokens"

struct token_conf {
	const char *file, *scope;
	int64_t expires, grace; /* ns */
	struct table_view view;
	bool json;
};

#define OFF(field) offsetof(struct token_conf, field)
static const struct opt options[] = {
	{"file", 'f', OPT_STRING, OFF(file), TOKENS, 0, 0, "FILE", "the tokens, as the gateway's --tokens names them"},
	{"scope", 0, OPT_STRING, OFF(scope), NULL, 0, 0, "SCOPES",
	 "create: what it may do: read, call, call:PACKAGE.Service, operate; with commas for several"},
	{"expires", 0, OPT_TIME, OFF(expires), "0s", 0, 36500LL * 86400 * NS_PER_S, "TIME",
	 "create, rotate: it counts for so long; 0: until it is revoked"},
	{"grace", 0, OPT_TIME, OFF(grace), "0s", 0, 366LL * 86400 * NS_PER_S, "TIME",
	 "rotate: the old one counts for so long beside the new"},
	{"json", 'j', OPT_FLAG, OFF(json), NULL, 0, 0, NULL, "output for programs: JSON, one token a line"},
	TABLE_OPTIONS(struct token_conf),
};
#undef OFF

static const char usage[] =
	"errand token VERB [options] [TOKEN...]\n\n"
	"Verbs; TOKEN is a name, or an id:\n"
	"  create  a new one, shown once: --scope SCOPES\n"
	"  list    all of them, without their text\n"
	"  revoke  they do not count any more\n"
	"  rotate  a new one of the same name and scopes, and the end of the old one\n"
	"  prune   takes those away that are revoked or have expired";

struct tokens {
	const struct token_conf *conf;
	struct token_file file;
	int64_t now_s;
};

static bool counts(const struct tokens *t, const struct token *k)
{
	return token_ended(k, t->now_s) == NULL;
}

/* By id, or the one of that name that counts. NULL, after an error. */
static struct token *find(struct tokens *t, const char *word)
{
	struct token *found = NULL;

	for (size_t i = 0; i < t->file.n; i++) {
		struct token *k = &t->file.items[i];

		if (strcmp(k->id, word) == 0)
			return k;
		if (strcmp(k->name, word) == 0 && (found == NULL || counts(t, k)))
			found = k;
	}
	if (found == NULL)
		cli_error("%s: no token has the name or id %s: `errand token list` shows them", t->conf->file, word);
	return found;
}

/* --- output --- */

static void put_time(struct buf *b, const char *member, int64_t s)
{
	char text[28];

	if (s != 0)
		buf_printf(b, ",\"%s\":\"%s\"", member, clock_format(s * US_PER_S, text));
}

static void put_json(const struct token *k, const char *text)
{
	AUTO_BUF b = BUF_INIT;

	buf_printf(&b, "{\"id\":\"%s\",\"name\":\"%s\",\"scopes\":\"%s\"", k->id, k->name, k->scopes);
	put_time(&b, "createTime", k->created_s);
	put_time(&b, "expireTime", k->expires_s);
	put_time(&b, "revokeTime", k->revoked_s);
	if (text != NULL)
		buf_printf(&b, ",\"token\":\"%s\"", text);
	printf("%s}\n", buf_cstr(&b));
}

static int put_new(const struct tokens *t, const struct token *k, const char *text)
{
	if (t->conf->json) {
		put_json(k, text);
		return CLI_OK;
	}
	if (isatty(STDOUT_FILENO))
		fprintf(stderr, "token %s (%s), scopes %s; keep it well, it is not shown again:\n", k->name, k->id, k->scopes);
	printf("%s\n", text);
	return CLI_OK;
}

/* "2026-11-23 02:00", or what stands for never. */
static void cell_time(struct table *table, size_t column, int64_t s, const char *never)
{
	time_t at = (time_t)s;
	char text[32];
	struct tm tm;

	if (s != 0 && localtime_r(&at, &tm) != NULL)
		strftime(text, sizeof text, "%Y-%m-%d %H:%M", &tm);
	table_cell(table, column, s != 0 ? text : never, (double)s);
}

static int token_list(struct tokens *t, int n, char **operands)
{
	static const struct table_column columns[] = {
		{"NAME", 10, 0}, {"ID", 12, 0}, {"STATE", 7, 0}, {"SCOPES", 20, TABLE_CUT},
		{"CREATED", 16, 0}, {"EXPIRES", 16, 0}, {"REVOKED", 16, TABLE_MORE},
	};
	struct table *table;
	int r = table_new(&table, columns, ARRAY_LEN(columns), &t->conf->view, "tokens");

	for (size_t i = 0; r == CLI_OK && i < t->file.n; i++) {
		const struct token *k = &t->file.items[i];
		const char *state = k->revoked_s != 0 ? "revoked" : counts(t, k) ? "valid" : "expired";

		if (t->conf->json) {
			put_json(k, NULL);
			continue;
		}
		table_row(table);
		table_text(table, 0, k->name, strlen(k->name));
		table_text(table, 1, k->id, strlen(k->id));
		table_text(table, 2, state, strlen(state));
		table_text(table, 3, k->scopes, strlen(k->scopes));
		cell_time(table, 4, k->created_s, "-");
		cell_time(table, 5, k->expires_s, "never");
		cell_time(table, 6, k->revoked_s, "-");
	}
	if (r == CLI_OK && !t->conf->json)
		r = table_print(table);
	table_free(table);
	return r;
}

/* --- changes --- */

static int save(const struct tokens *t)
{
	int r = token_file_write(t->conf->file, &t->file);

	if (r == 0)
		return CLI_OK;
	cli_error("%s: %s", t->conf->file, strerror(-r));
	return CLI_FAILED;
}

static int add(struct tokens *t, const char *name, const char *scopes, char text[TOKEN_LEN + 1])
{
	struct token k;
	char why[256];

	if (t->file.n == TOKENS_MAX) {
		cli_error("%s has %d tokens, the most there may be: `errand token prune` takes old ones away", t->conf->file,
			  TOKENS_MAX);
		return CLI_FAILED;
	}
	if (token_make(&k, text) < 0) {
		cli_error("this machine gives no random numbers: %s", strerror(errno));
		return CLI_FAILED;
	}
	k.name = xstrdup(name);
	k.scopes = xstrdup(scopes);
	k.created_s = t->now_s;
	k.expires_s = t->conf->expires != 0 ? t->now_s + t->conf->expires / NS_PER_S : 0;
	grants_parse(&k.grants, scopes, why, sizeof why);
	k.above = t->file.below; /* behind all that is there */
	t->file.below = NULL;
	t->file.items = xrealloc(t->file.items, (t->file.n + 1) * sizeof k);
	t->file.items[t->file.n++] = k;
	return CLI_OK;
}

/* What is shown counts already. */
static int save_new(struct tokens *t, const char *text)
{
	int r = save(t);

	return r == CLI_OK ? put_new(t, &t->file.items[t->file.n - 1], text) : r;
}

/* The scopes as one word of a line of the file. NULL after an error. */
static char *scopes_given(const struct token_conf *conf)
{
	struct grants g = {0};
	AUTO_FREE char *copy = NULL;
	char why[256], *text, *save;

	if (conf->scope == NULL) {
		cli_error("token create: what may it do? --scope read, call, call:PACKAGE.Service or operate");
		return NULL;
	}
	if (grants_parse(&g, conf->scope, why, sizeof why) < 0) {
		cli_error("--scope: %s", why);
		grants_deinit(&g);
		return NULL;
	}
	grants_deinit(&g);
	text = xstrdup(conf->scope);
	copy = xstrdup(conf->scope);
	*text = '\0';
	for (char *word = strtok_r(copy, ", \t", &save); word != NULL; word = strtok_r(NULL, ", \t", &save)) {
		strcat(text, *text != '\0' ? "," : "");
		strcat(text, word);
	}
	return text;
}

static int token_create(struct tokens *t, int n, char **operands)
{
	AUTO_FREE char *scopes = scopes_given(t->conf);
	char text[TOKEN_LEN + 1];
	int r;

	if (scopes == NULL)
		return CLI_USAGE;
	if (!token_name_good(operands[0])) {
		cli_error("'%s' is no name for a token: 1 to %d letters, digits or . _ @ -", operands[0], TOKEN_NAME_MAX);
		return CLI_USAGE;
	}
	for (size_t i = 0; i < t->file.n; i++)
		if (strcmp(t->file.items[i].name, operands[0]) == 0 && counts(t, &t->file.items[i])) {
			cli_error("there is a token %s already: `errand token rotate %s` makes a new one in its place",
				  operands[0], operands[0]);
			return CLI_USAGE;
		}
	r = add(t, operands[0], scopes, text);
	if (r == CLI_OK)
		r = save_new(t, text);
	explicit_bzero(text, sizeof text);
	return r;
}

static int token_rotate(struct tokens *t, int n, char **operands)
{
	struct token *old = find(t, operands[0]);
	AUTO_FREE char *name = NULL, *scopes = NULL;
	int64_t end = t->now_s + t->conf->grace / NS_PER_S;
	char text[TOKEN_LEN + 1];
	int r;

	if (old == NULL)
		return CLI_NOT_FOUND;
	name = xstrdup(old->name);
	scopes = xstrdup(old->scopes);
	if (t->conf->grace == 0 && old->revoked_s == 0)
		old->revoked_s = t->now_s;
	else if (old->revoked_s == 0 && (old->expires_s == 0 || old->expires_s > end))
		old->expires_s = end;
	r = add(t, name, scopes, text);
	if (r == CLI_OK)
		r = save_new(t, text);
	explicit_bzero(text, sizeof text);
	return r;
}

static int token_revoke(struct tokens *t, int n, char **operands)
{
	for (int i = 0; i < n; i++) {
		struct token *k = find(t, operands[i]);

		if (k == NULL)
			return CLI_NOT_FOUND;
		if (k->revoked_s == 0)
			k->revoked_s = t->now_s;
	}
	return save(t);
}

static int token_prune(struct tokens *t, int n, char **operands)
{
	size_t before = t->file.n;
	int r;

	for (size_t i = before; i-- > 0;)
		if (!counts(t, &t->file.items[i]))
			token_file_remove(&t->file, i);
	r = t->file.n < before ? save(t) : CLI_OK;
	if (r == CLI_OK && !t->conf->json)
		printf("%zu taken away, %zu left\n", before - t->file.n, t->file.n);
	return r;
}

/* --- the command --- */

static const struct verb {
	const char *name;
	int (*run)(struct tokens *t, int n, char **operands);
	int n_min, n_max;
	bool changes;
} verbs[] = {
	{"create", token_create, 1, 1, true}, {"list", token_list, 0, 0, false},
	{"revoke", token_revoke, 1, 1000, true}, {"rotate", token_rotate, 1, 1, true},
	{"prune", token_prune, 0, 0, true},
};

/* A file that is not there is an empty one, for those who make the first token. */
static int run_verb(struct tokens *t, const struct verb *v, int n, char **operands)
{
	char why[512];
	int r = token_file_read(t->conf->file, &t->file, why, sizeof why);

	if (r < 0 && (r != -ERRAND_NOT_FOUND || v->run != token_create)) {
		cli_error("%s%s", why, r == -ERRAND_NOT_FOUND ? "; `errand token create` makes it, --file names another" : "");
		return r == -ERRAND_INVALID_ARGUMENT ? CLI_DATA : CLI_FAILED;
	}
	return v->run(t, n, operands);
}

int token_command(int argc, char **argv)
{
	struct token_conf conf;
	int first = cli_parse(options, ARRAY_LEN(options), &conf, argc, argv, usage), n = argc - first - 1, lock = -1, r;
	const struct verb *v = CLI_FIND(verbs, "verb", n >= 0 ? argv[first] : "list");
	struct tokens t = {.conf = &conf, .now_s = (int64_t)time(NULL)};

	n = MAX(n, 0);
	if (v == NULL)
		return CLI_USAGE;
	if (n < v->n_min || n > v->n_max) {
		cli_error("token %s: it takes %s, see errand token --help", v->name,
			  v->n_max == 0 ? "no name" : v->n_max == 1 ? "one name" : "names or ids");
		return CLI_USAGE;
	}
	if (v->changes)
		lock = token_file_lock(conf.file);
	if (lock < 0 && v->changes) {
		cli_error("%s.lock: %s; --file names another file", conf.file, strerror(-lock));
		return CLI_FAILED;
	}
	r = run_verb(&t, v, n, argv + first + 1);
	token_file_deinit(&t.file);
	if (lock >= 0)
		close(lock);
	return r;
}
