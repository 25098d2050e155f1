/* grants.c: see grants.h. */
#define _GNU_SOURCE
#include "base/grants.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/opt.h"
#include "base/util.h"

static const struct {
	const char *name;
	enum scope scope;
	bool of_service; /* SCOPE:SERVICE is one */
} words[] = {{"read", SCOPE_READ, true}, {"call", SCOPE_CALL, true}, {"operate", SCOPE_OPERATE, false}};

void grants_add(struct grants *g, enum scope scope, const char *service)
{
	g->items = xrealloc(g->items, (g->n + 1) * sizeof *g->items);
	g->items[g->n++] = (struct grant){scope, service != NULL ? xstrdup(service) : NULL};
}

void grants_deinit(struct grants *g)
{
	for (size_t i = 0; i < g->n; i++)
		free(g->items[i].service);
	free(g->items);
	*g = (struct grants){0};
}

static bool is_service(const char *name)
{
	bool dot = false;

	for (const char *p = name; *p != '\0'; p++) {
		if (!isalnum((unsigned char)*p) && *p != '_' && *p != '.')
			return false;
		dot |= *p == '.';
	}
	return dot && name[0] != '.' && strlen(name) <= 200;
}

static int parse_word(struct grants *g, const char *word, char *why, size_t why_size)
{
	size_t len = strcspn(word, ":");
	const char *service = word[len] == ':' ? word + len + 1 : NULL;

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (strlen(words[i].name) != len || strncmp(words[i].name, word, len) != 0)
			continue;
		if (service != NULL && (!words[i].of_service || !is_service(service))) {
			snprintf(why, why_size, "scope %s: write %s", word, words[i].of_service ?
				 "SCOPE:PACKAGE.Service, as call:shop.v1.Shop" : "operate alone: it is of everything");
			return -1;
		}
		grants_add(g, words[i].scope, service);
		return 0;
	}
	snprintf(why, why_size, "there is no scope %s: read, call, call:PACKAGE.Service, operate", word);
	return -1;
}

int grants_parse(struct grants *g, const char *text, char *why, size_t why_size)
{
	AUTO_FREE char *copy = xstrdup(text);
	char *save, *word = strtok_r(copy, ", \t", &save);

	if (word == NULL) {
		snprintf(why, why_size, "no scope: read, call, call:PACKAGE.Service, operate");
		return -1;
	}
	for (; word != NULL; word = strtok_r(NULL, ", \t", &save))
		if (parse_word(g, word, why, why_size) < 0)
			return -1;
	return 0;
}

static bool grant_allows(const struct grant *g, unsigned scopes, const char *service)
{
	if (g->scope == SCOPE_OPERATE)
		return true;
	if (g->scope == SCOPE_CALL && (scopes & SCOPE_BIT(SCOPE_TASK)))
		return true;
	return (scopes & SCOPE_BIT(g->scope)) && (g->service == NULL || strcmp(g->service, service) == 0);
}

bool grants_allow(const struct grants *g, unsigned scopes, const char *service)
{
	if (scopes == 0)
		scopes = SCOPE_BIT(SCOPE_CALL);
	for (size_t i = 0; i < g->n; i++)
		if (grant_allows(&g->items[i], scopes, service))
			return true;
	return false;
}

const char *grants_wanted(unsigned scopes)
{
	if (scopes & SCOPE_BIT(SCOPE_READ))
		return "read";
	return scopes == SCOPE_BIT(SCOPE_OPERATE) ? "operate" : "call";
}
