/* opt.c: see opt.h. getopt_long is not used because its errors do not say what
 * to do and its table does not know types, ranges and help. */
#define _GNU_SOURCE
#include "base/opt.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/util.h"
#include "config.h"

struct unit {
	const char *name;
	int64_t factor;
};

static const struct unit time_units[] = {
	{"ns", 1}, {"us", 1000}, {"ms", NS_PER_MS}, {"s", NS_PER_S},
	{"m", 60 * NS_PER_S}, {"h", 3600 * NS_PER_S}, {"d", 86400 * NS_PER_S},
};
static const struct unit size_units[] = {
	{"", 1}, {"K", 1LL << 10}, {"M", 1LL << 20}, {"G", 1LL << 30}, {"T", 1LL << 40},
};

/* DIGITS[.DIGITS]UNIT, not negative, no blanks; at most 9 decimals count. */
static bool read_amount(const char *text, const struct unit *units, size_t n, int64_t *out)
{
	const struct unit *unit = NULL;
	int64_t whole, fraction = 0, scale = 1;
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	whole = strtoll(text, &end, 10);
	if (errno != 0)
		return false;
	if (*end == '.') {
		if (!isdigit((unsigned char)*++end))
			return false;
		for (; isdigit((unsigned char)*end); end++) {
			if (scale >= NS_PER_S)
				continue;
			fraction = fraction * 10 + (*end - '0');
			scale *= 10;
		}
	}
	for (size_t i = 0; i < n; i++)
		if (strcmp(units[i].name, end) == 0)
			unit = &units[i];
	if (unit == NULL && whole == 0 && fraction == 0 && *end == '\0')
		unit = &units[0]; /* 0 needs no unit */
	if (unit == NULL || __builtin_mul_overflow(whole, unit->factor, out))
		return false;
	return !__builtin_add_overflow(
		*out, (int64_t)((__int128)fraction * unit->factor / scale), out);
}

bool opt_time(const char *text, int64_t *out)
{
	return read_amount(text, time_units, ARRAY_LEN(time_units), out);
}

bool opt_size(const char *text, int64_t *out)
{
	return read_amount(text, size_units, ARRAY_LEN(size_units), out);
}

void opt_show(enum opt_type type, int64_t v, char *out, size_t size)
{
	const struct unit *units = type == OPT_TIME ? time_units : size_units;
	size_t i = type == OPT_TIME ? ARRAY_LEN(time_units) - 1 : ARRAY_LEN(size_units) - 1;

	if (type == OPT_INT || v == 0) {
		snprintf(out, size, "%" PRId64, v);
		return;
	}
	while (i > 0 && v % units[i].factor != 0)
		i--;
	snprintf(out, size, "%" PRId64 "%s", v / units[i].factor, units[i].name);
}

static int set_number(const struct opt *o, int64_t *value, const char *text, char *why,
		      size_t size)
{
	static const char *const what[] = {
		[OPT_INT] = "a whole number",
		[OPT_SIZE] = "a size like 4096, 64K or 1M",
		[OPT_TIME] = "a time with its unit, like 250ms, 10s or 2m",
	};
	char low[32], high[32], *end;
	int64_t v = 0;
	bool ok;

	if (o->type == OPT_INT) {
		errno = 0;
		v = strtoll(text, &end, 10);
		ok = errno == 0 && end != text && *end == '\0' &&
		     !isspace((unsigned char)*text) && *text != '+';
	} else {
		ok = o->type == OPT_TIME ? opt_time(text, &v) : opt_size(text, &v);
	}
	if (!ok) {
		snprintf(why, size, "'%s' is not %s", text, what[o->type]);
		return -1;
	}
	if ((o->min != 0 || o->max != 0) && (v < o->min || v > o->max)) {
		opt_show(o->type, o->min, low, sizeof low);
		opt_show(o->type, o->max, high, sizeof high);
		snprintf(why, size, "'%s' is out of range: from %s to %s", text, low, high);
		return -1;
	}
	*value = v;
	return 0;
}

/* The configuration file says yes or no where the command line has a flag. */
static int set_flag(bool *value, const char *text, char *why, size_t size)
{
	static const char *const words[][2] = {{"no", "yes"}, {"false", "true"}, {"off", "on"}};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		for (int b = 0; b < 2; b++)
			if (strcmp(text, words[i][b]) == 0) {
				*value = b;
				return 0;
			}
	snprintf(why, size, "'%s' is neither yes nor no", text);
	return -1;
}

static void list_push(struct opt_list *l, const char *text)
{
	l->items = xrealloc(l->items, (l->n + 2) * sizeof *l->items);
	l->items[l->n++] = text;
	l->items[l->n] = NULL;
}

static void list_clear(struct opt_list *l)
{
	free(l->items);
	*l = (struct opt_list){NULL, 0};
}

int opt_set(const struct opt *o, void *conf, const char *text, char *why, size_t size)
{
	void *value = (char *)conf + o->offset;

	switch (o->type) {
	case OPT_FLAG:
		return set_flag(value, text, why, size);
	case OPT_STRING:
		*(const char **)value = text;
		return 0;
	case OPT_LIST:
		list_push(value, text);
		return 0;
	case OPT_INT:
	case OPT_SIZE:
	case OPT_TIME:
		return set_number(o, value, text, why, size);
	}
	return -1;
}

size_t opt_size_of(enum opt_type type)
{
	static const size_t sizes[] = {
		[OPT_FLAG] = sizeof(bool), [OPT_STRING] = sizeof(char *),
		[OPT_LIST] = sizeof(struct opt_list), [OPT_INT] = sizeof(int64_t),
		[OPT_SIZE] = sizeof(int64_t), [OPT_TIME] = sizeof(int64_t),
	};

	return sizes[type];
}

void opt_clear(const struct opt *o, void *conf)
{
	void *value = (char *)conf + o->offset;

	if (o->type == OPT_LIST)
		list_clear(value);
	memset(value, 0, opt_size_of(o->type));
}

void opt_defaults(const struct opt *table, size_t n, void *conf)
{
	char why[160];

	for (size_t i = 0; i < n; i++) {
		memset((char *)conf + table[i].offset, 0, opt_size_of(table[i].type));
		if (table[i].fallback != NULL &&
		    opt_set(&table[i], conf, table[i].fallback, why, sizeof why) < 0) {
			fprintf(stderr, "default of --%s: %s\n", table[i].name, why);
			abort(); /* the table itself is wrong */
		}
	}
}

void opt_deinit(const struct opt *table, size_t n, void *conf)
{
	for (size_t i = 0; i < n; i++)
		if (table[i].type == OPT_LIST)
			list_clear((struct opt_list *)(void *)((char *)conf + table[i].offset));
}

/* --- help --- */

static const char *program(char **argv)
{
	const char *name = argv[0] != NULL ? argv[0] : "errand", *slash = strrchr(name, '/');

	name = slash != NULL ? slash + 1 : name;
	return strncmp(name, "lt-", 3) == 0 ? name + 3 : name; /* libtool's wrapper */
}

static void help_one(const struct opt *o)
{
	char left[64], letter[8] = "    ";

	if (o->letter != 0)
		snprintf(letter, sizeof letter, "-%c, ", o->letter);
	snprintf(left, sizeof left, "  %s--%s%s%s", letter, o->name, o->value != NULL ? " " : "",
		 o->value != NULL ? o->value : "");
	if (strlen(left) > 30)
		printf("%s\n%-32s", left, "");
	else
		printf("%-32s", left);
	printf("%s", o->help != NULL ? o->help : "");
	if (o->fallback != NULL && o->type != OPT_FLAG)
		printf(" (default %s)", o->fallback);
	printf("\n");
}

/* On stdout. `usage` may be several lines; "Usage: " goes in front when it does not begin with it. */
static void show_help(const struct opt *table, size_t n, const char *usage)
{
	static const struct opt common[] = {
		{.name = "help", .letter = 'h', .help = "show this and exit"},
		{.name = "version", .help = "show the version and exit"},
	};
	bool worded = strncasecmp(usage, "usage", 5) == 0;

	printf("%s%s\n\nOptions:\n", worded ? "" : "Usage: ", usage);
	for (size_t i = 0; i < n; i++)
		help_one(&table[i]);
	for (size_t i = 0; i < ARRAY_LEN(common); i++)
		help_one(&common[i]);
}

/* For completion (cli/complete.c): NAME, letter, type, value and help between tabs. */
static void list_options(const struct opt *table, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct opt *o = &table[i];

		printf("%s\t%.1s\t%d\t%s\t%s\n", o->name, &o->letter, (int)o->type, o->value != NULL ? o->value : "",
		       o->help != NULL ? o->help : "");
	}
}

/* --- the command line --- */

/* Edit distance, for "did you mean"; words are short. */
size_t opt_distance(const char *a, size_t a_len, const char *b)
{
	size_t b_len = strlen(b), row[64];

	if (a_len > 60 || b_len > 60)
		return SIZE_MAX;
	for (size_t j = 0; j <= b_len; j++)
		row[j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);

			best = MIN(best, MIN(row[j], row[j - 1]) + 1);
			diagonal = row[j];
			row[j] = best;
		}
	}
	return row[b_len];
}

static const struct opt *find(const struct opt *table, size_t n, const char *name, size_t len)
{
	for (size_t i = 0; i < n; i++)
		if (strncmp(table[i].name, name, len) == 0 && table[i].name[len] == '\0')
			return &table[i];
	return NULL;
}

static const struct opt *find_letter(const struct opt *table, size_t n, char letter)
{
	for (size_t i = 0; i < n; i++)
		if (table[i].letter != 0 && table[i].letter == letter)
			return &table[i];
	return NULL;
}

struct parse {
	const struct opt *table;
	size_t n;
	void *conf;
	const char **given; /* by option: seen so far; the first of a LIST replaces its default */
	const char *usage;
	char **argv;
	int argc, i; /* i: the argument being read */
};

static int complain(const struct parse *p, const char *fmt, ...) PRINTF(2, 3);
static int complain(const struct parse *p, const char *fmt, ...)
{
	AUTO_FREE char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	fprintf(stderr, "%s: %s\n", program(p->argv), text);
	return -1;
}

static int unknown(const struct parse *p, const char *name, size_t len)
{
	const char *near = NULL;
	size_t best = MAX(len / 2, 1) + 1;

	for (size_t i = 0; i < p->n; i++) {
		size_t d = opt_distance(name, len, p->table[i].name);

		if (d < best) {
			best = d;
			near = p->table[i].name;
		}
	}
	if (near != NULL)
		return complain(p, "unknown option --%.*s: did you mean --%s?", (int)len, name,
				near);
	return complain(p, "unknown option --%.*s: see --help", (int)len, name);
}

static int take(struct parse *p, const struct opt *o, const char *text)
{
	char why[256];

	if (o->type == OPT_LIST && p->given[o - p->table] == NULL)
		opt_clear(o, p->conf);
	p->given[o - p->table] = text;
	if (opt_set(o, p->conf, text, why, sizeof why) < 0)
		return complain(p, "--%s: %s", o->name, why);
	return 0;
}

/* value: what came in the same argument, or NULL. */
static int take_or_next(struct parse *p, const struct opt *o, const char *value)
{
	if (o->type == OPT_FLAG)
		return take(p, o, value != NULL ? value : "yes");
	if (value == NULL && p->i + 1 >= p->argc)
		return complain(p, "--%s needs a value: --%s %s", o->name, o->name,
				o->value != NULL ? o->value : "VALUE");
	return take(p, o, value != NULL ? value : p->argv[++p->i]);
}

static int parse_long(struct parse *p, const char *arg)
{
	const char *equals = strchr(arg, '=');
	size_t len = equals != NULL ? (size_t)(equals - arg) : strlen(arg);
	const struct opt *o = find(p->table, p->n, arg, len);

	if (o == NULL && strcmp(arg, "help") == 0) {
		show_help(p->table, p->n, p->usage);
		exit(0);
	}
	if (o == NULL && strcmp(arg, "__options") == 0) {
		list_options(p->table, p->n);
		exit(0);
	}
	if (o == NULL && strcmp(arg, "version") == 0) {
		printf("%s (errand) %s\n", program(p->argv), PACKAGE_VERSION);
		exit(0);
	}
	if (o == NULL)
		return unknown(p, arg, len);
	return take_or_next(p, o, equals != NULL ? equals + 1 : NULL);
}

/* -v, -vq (flags together), -n5, -n 5 */
static int parse_letters(struct parse *p, const char *arg)
{
	for (; *arg != '\0'; arg++) {
		const struct opt *o = find_letter(p->table, p->n, *arg);

		if (o == NULL && *arg == 'h') {
			show_help(p->table, p->n, p->usage);
			exit(0);
		}
		if (o == NULL)
			return complain(p, "unknown option -%c: see --help", *arg);
		if (o->type != OPT_FLAG)
			return take_or_next(p, o, arg[1] != '\0' ? arg + 1 : NULL);
		if (take(p, o, "yes") < 0)
			return -1;
	}
	return 0;
}

int opt_parse(const struct opt *table, size_t n, void *conf, int argc, char **argv,
	      const char *usage)
{
	AUTO_FREE const char **given = xcalloc(n + 1, sizeof *given);

	return opt_parse_given(table, n, conf, argc, argv, usage, given);
}

int opt_parse_given(const struct opt *table, size_t n, void *conf, int argc, char **argv,
		    const char *usage, const char **given)
{
	struct parse p = {table, n, conf, given, usage, argv, argc, 1};

	opt_defaults(table, n, conf);
	for (; p.i < argc; p.i++) {
		const char *arg = argv[p.i];
		int r;

		if (strcmp(arg, "--") == 0)
			return p.i + 1;
		if (arg[0] != '-' || arg[1] == '\0')
			break;
		r = arg[1] == '-' ? parse_long(&p, arg + 2) : parse_letters(&p, arg + 1);
		if (r < 0)
			return -1;
	}
	return p.i < argc ? p.i : argc;
}
