#define _GNU_SOURCE
#include "cli/carrier.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "config.h"

const struct carrier *carrier_load(char *why, size_t why_size)
{
	AUTO_FREE char *folder = cli_folder(), *path = NULL;
	size_t len = strlen(folder);
	const struct carrier *c;
	void *handle;

	if (len > 6 && strcmp(folder + len - 6, "/.libs") == 0)
		path = xasprintf("%s/%s", folder, CARRIER_PLUGIN);
	handle = dlopen(path != NULL ? path : PKGLIBDIR "/" CARRIER_PLUGIN, RTLD_NOW | RTLD_LOCAL);
	c = handle != NULL ? dlsym(handle, CARRIER_SYMBOL) : NULL;
	if (c == NULL)
		snprintf(why, why_size, "a URL needs %s, which cannot be loaded: %s", CARRIER_PLUGIN, dlerror());
	return c;
}

char *carrier_header(const struct carrier_request *r, const char *name)
{
	const char *p = (const char *)r->head.data, *end = p + r->head.len;
	size_t len = strlen(name);

	while (p != NULL && p < end) {
		const char *stop = memchr(p, '\n', (size_t)(end - p));
		size_t line = (size_t)((stop != NULL ? stop : end) - p);

		if (line > len && p[len] == ':' && strncasecmp(p, name, len) == 0) {
			for (p += len + 1, line -= len + 1; line > 0 && *p == ' '; p++)
				line--;
			return xstrndup(p, line);
		}
		p += line + 1;
	}
	return NULL;
}
