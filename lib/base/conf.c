/* conf.c: see conf.h. inih calls our reader for a line and then, when that has a key, our
 * handler; so the line the reader gave last is the one a value stands in. Sections and lines
 * that inih passes over in silence are seen by the reader: it cuts names at 50 bytes and
 * tells of the first fault only. */
#define _GNU_SOURCE
#include "base/conf.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/opt.h"

#define FILE_MAX (4 << 20)
#define BLANK " \t\r\n\f\v"

struct conf_fault {
	size_t file; /* index */
	int line, column;
	char *text;
};

/* One file under way. */
struct reading {
	struct conf *conf;
	size_t file;
	const char *next, *end;
	char *line;             /* the last one; owned */
	int n_line;
	bool wants_key;         /* it should have one; not heard of yet */
	struct conf_section *section;
	struct conf_entry *last; /* of the section */
};

/* --- faults --- */

static void fault_add(struct conf *c, size_t file, int line, int column, char *text)
{
	c->faults = xrealloc(c->faults, (c->n_faults + 1) * sizeof *c->faults);
	c->faults[c->n_faults++] = (struct conf_fault){file, line, column, text};
}

/* One line, whatever the value in it was. */
static char *format(const char *fmt, va_list ap)
{
	char *text = xvasprintf(fmt, ap);

	for (char *p = text; *p != '\0'; p++)
		if (iscntrl((unsigned char)*p))
			*p = ' ';
	return text;
}

static void PRINTF(3, 4) fault_here(struct reading *r, int column, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fault_add(r->conf, r->file, r->n_line, column, format(fmt, ap));
	va_end(ap);
}

static size_t file_of(const struct conf *c, const char *path)
{
	size_t i = 0;

	while (i < c->n_files && c->files[i] != path)
		i++;
	return i;
}

static size_t add_file(struct conf *c, const char *path)
{
	c->files = xrealloc(c->files, (c->n_files + 1) * sizeof(char *));
	c->files[c->n_files] = xstrdup(path);
	return c->n_files++;
}

static int characters(const char *s, size_t len)
{
	int n = 0;

	for (size_t i = 0; i < len; i++)
		n += (s[i] & 0xc0) != 0x80;
	return n;
}

void conf_fault(struct conf *c, const struct conf_entry *e, const char *at, const char *fmt, ...)
{
	int line = e->line, column = e->key_column;
	va_list ap;

	if (at != NULL) {
		size_t offset = (size_t)(at - e->value), i = e->n_lines - 1;

		while (i > 0 && e->lines[i].offset > offset)
			i--;
		line = e->lines[i].line;
		column = e->lines[i].column + characters(e->value + e->lines[i].offset,
							 offset - e->lines[i].offset);
	}
	va_start(ap, fmt);
	fault_add(c, file_of(c, e->section->file), line, column, format(fmt, ap));
	va_end(ap);
}

void conf_fault_section(struct conf *c, const struct conf_section *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fault_add(c, file_of(c, s->file), s->line, 1, format(fmt, ap));
	va_end(ap);
}

void conf_fault_file(struct conf *c, const char *path, const char *fmt, ...)
{
	size_t file = add_file(c, path);
	va_list ap;

	va_start(ap, fmt);
	fault_add(c, file, 0, 0, format(fmt, ap));
	va_end(ap);
}

static int by_place(const void *a, const void *b)
{
	const struct conf_fault *x = a, *y = b;

	if (x->file != y->file)
		return x->file < y->file ? -1 : 1;
	return x->line != y->line ? x->line - y->line : x->column - y->column;
}

size_t conf_report(const struct conf *c, FILE *to)
{
	if (c->n_faults > 0)
		qsort(c->faults, c->n_faults, sizeof *c->faults, by_place);
	for (size_t i = 0; i < c->n_faults; i++) {
		const struct conf_fault *f = &c->faults[i];

		if (f->line == 0)
			fprintf(to, "%s: %s\n", c->files[f->file], f->text);
		else
			fprintf(to, "%s:%d:%d: %s\n", c->files[f->file], f->line, f->column, f->text);
	}
	return c->n_faults;
}

const char *conf_meant(const char *word, size_t len, const char *const *list)
{
	const char *best = NULL;
	size_t least = len / 3 + 1;

	for (; *list != NULL; list++) {
		size_t d = opt_distance(word, len, *list);

		if (d < least) {
			least = d;
			best = *list;
		}
	}
	return best;
}

/* --- lines --- */

static void section_begin(struct reading *r, const char *name, size_t len)
{
	struct conf *c = r->conf;
	struct conf_section *s = xcalloc(1, sizeof *s);

	s->name = strndup(name, len);
	s->file = c->files[r->file];
	s->line = r->n_line;
	c->sections = xrealloc(c->sections, (c->n_sections + 1) * sizeof(struct conf_section *));
	c->sections[c->n_sections++] = s;
	r->section = s;
	r->last = NULL;
}

/* The line inih gets: the one that was read, or nothing when it must not see it. */
static bool look_at(struct reading *r, size_t len, int max)
{
	const char *line = r->line, *first = line + strspn(line, BLANK), *close, *end;

	r->wants_key = false;
	if (strlen(line) != len) {
		fault_here(r, characters(line, strlen(line)) + 1, "a NUL byte");
		return false;
	}
	if (json_utf8_valid((const uint8_t *)line, len) != len) {
		fault_here(r, characters(line, json_utf8_valid((const uint8_t *)line, len)) + 1, "not UTF-8");
		return false;
	}
	if ((int)len > max - 2) {
		fault_here(r, max - 1, "a line has at most %d bytes: go on in the next one, beginning with a space",
			   max - 2);
		return false;
	}
	if (*first == '\0' || *first == ';' || *first == '#')
		return true;
	if (*first != '[' || (first > line && r->last != NULL)) {
		r->wants_key = true;
		return true;
	}
	close = strchr(first, ']');
	if (close == NULL) {
		fault_here(r, (int)(first - line) + 1, "a section without its ]");
		return false;
	}
	end = close + 1 + strspn(close + 1, BLANK);
	if (*end != '\0' && *end != ';' && *end != '#')
		fault_here(r, characters(line, (size_t)(end - line)) + 1, "nothing comes behind a section's ]");
	section_begin(r, first + 1, (size_t)(close - first) - 1);
	return true;
}

static void missed_key(struct reading *r)
{
	if (r->wants_key)
		fault_here(r, 1 + (int)strspn(r->line, BLANK), "this is no \"key = value\"");
	r->wants_key = false;
}

/* inih's fgets. */
static char *read_line(char *to, int max, void *stream)
{
	struct reading *r = stream;
	const char *nl;
	size_t len;

	missed_key(r);
	if (r->next >= r->end)
		return NULL;
	nl = memchr(r->next, '\n', (size_t)(r->end - r->next));
	len = (size_t)((nl != NULL ? nl : r->end) - r->next);
	free(r->line);
	r->line = xmalloc(len + 1);
	memcpy(r->line, r->next, len);
	r->line[len] = '\0';
	r->n_line++;
	r->next += len + (nl != NULL);
	snprintf(to, (size_t)max, "%s\n", look_at(r, len, max) ? r->line : "");
	return to;
}

/* --- keys --- */

/* Where a comment begins in a value, or its end: inih does not look in lines that go on. There is
 * a "=" or a blank before it. */
static size_t value_len(const char *value)
{
	size_t len = strlen(value);

	for (const char *p = strchr(value, ';'); p != NULL; p = strchr(p + 1, ';'))
		if (isblank((unsigned char)p[-1])) {
			len = (size_t)(p - value);
			break;
		}
	while (len > 0 && strchr(BLANK, value[len - 1]) != NULL)
		len--;
	return len;
}

/* Adds text, which stands at that byte of the line. */
static void entry_add(struct reading *r, struct conf_entry *e, const char *text, size_t len, size_t at)
{
	size_t had = e->value != NULL ? strlen(e->value) + 1 : 0;

	e->value = xrealloc(e->value, had + len + 1);
	if (had > 0)
		e->value[had - 1] = '\n';
	memcpy(e->value + had, text, len);
	e->value[had + len] = '\0';
	e->lines = xrealloc(e->lines, (e->n_lines + 1) * sizeof *e->lines);
	e->lines[e->n_lines++] = (struct conf_line){had, r->n_line, characters(r->line, at) + 1};
}

static void entries_push(struct conf_entry ***list, size_t *n, struct conf_entry *e)
{
	*list = xrealloc(*list, (*n + 1) * sizeof(struct conf_entry *));
	(*list)[(*n)++] = e;
}

static const struct conf_entry *entry_find(const struct conf_section *s, const char *key)
{
	for (size_t i = 0; i < s->n_entries; i++)
		if (strcmp(s->entries[i]->key, key) == 0)
			return s->entries[i];
	return NULL;
}

static struct conf_entry *entry_new(struct reading *r, const char *key, size_t len, size_t at)
{
	struct conf_section *s = r->section;
	const struct conf_entry *first;
	struct conf_entry *e = xcalloc(1, sizeof *e);

	e->key = strndup(key, len);
	e->line = r->n_line;
	e->key_column = characters(r->line, at) + 1;
	e->section = s;
	first = entry_find(s, e->key);
	if (first == NULL) {
		entries_push(&s->entries, &s->n_entries, e);
		return e;
	}
	fault_here(r, e->key_column, "%s stands in line %d already", e->key, first->line);
	entries_push(&s->again, &s->n_again, e);
	return e;
}

/* inih found a key in the line the reader gave last; the line itself says where. */
static int take_key(void *arg, const char *section, const char *name, const char *value)
{
	struct reading *r = arg;
	size_t key = strspn(r->line, BLANK), end, at;

	r->wants_key = false;
	if (r->section == NULL) {
		fault_here(r, (int)key + 1, "a key before the first [section]");
		return 1;
	}
	if (key > 0 && r->last != NULL) { /* it goes on */
		entry_add(r, r->last, r->line + key, value_len(r->line + key), key);
		return 1;
	}
	end = at = key + strcspn(r->line + key, "=:");
	while (end > key && isblank((unsigned char)r->line[end - 1]))
		end--;
	at += r->line[at] != '\0';
	at += strspn(r->line + at, BLANK);
	r->last = entry_new(r, r->line + key, end - key, key);
	entry_add(r, r->last, r->line + at, value_len(r->line + at), at);
	return 1;
}

/* --- files --- */

static char *read_whole(const char *path, size_t *lenp, char *why, size_t size)
{
	AUTO_BUF all = BUF_INIT;
	FILE *f = fopen(path, "re");
	struct stat st;
	uint8_t *p;
	size_t n;

	if (f == NULL) {
		snprintf(why, size, "cannot be read: %s", strerror(errno));
		return NULL;
	}
	/* Who writes here says which programs run. */
	if (fstat(fileno(f), &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & S_IWOTH)) {
		snprintf(why, size, "everybody can write it: chmod o-w");
		fclose(f);
		return NULL;
	}
	do {
		p = buf_reserve(&all, 65536);
		n = p != NULL ? fread(p, 1, 65536, f) : 0;
		all.len += n;
	} while (n > 0 && all.len <= FILE_MAX);
	if (ferror(f) || all.len > FILE_MAX) {
		snprintf(why, size, "cannot be read: %s", ferror(f) ? strerror(errno) : "it has more than 4 MiB");
		fclose(f);
		return NULL;
	}
	fclose(f);
	*lenp = all.len;
	p = xmalloc(all.len + 1);
	if (all.len > 0)
		memcpy(p, all.data, all.len);
	return (char *)p;
}

void conf_read(struct conf *c, const char *path)
{
	struct reading r = {.conf = c, .file = add_file(c, path)};
	char why[160];
	AUTO_FREE char *text = NULL;
	size_t len;

	text = read_whole(path, &len, why, sizeof why);
	if (text == NULL) {
		fault_add(c, r.file, 0, 0, xstrdup(why));
		return;
	}
	r.next = text;
	r.end = text + len;
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) /* what some editors begin with */
		r.next += 3;
	ini_parse_stream(read_line, &r, take_key, &r);
	free(r.line);
}

static void entries_free(struct conf_entry **list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free((char *)list[i]->key);
		free(list[i]->value);
		free(list[i]->lines);
		free(list[i]);
	}
	free(list);
}

static void section_free(struct conf_section *s)
{
	entries_free(s->entries, s->n_entries);
	entries_free(s->again, s->n_again);
	free(s->name);
	free(s);
}

void conf_deinit(struct conf *c)
{
	for (size_t i = 0; i < c->n_sections; i++)
		section_free(c->sections[i]);
	for (size_t i = 0; i < c->n_files; i++)
		free(c->files[i]);
	for (size_t i = 0; i < c->n_faults; i++)
		free(c->faults[i].text);
	free(c->sections);
	free(c->files);
	free(c->faults);
	*c = CONF_INIT;
}
