/* names.c: preloaded into a daemon, is its name server: names are looked up in the file
 * NAMES_FILE ("name address" a line, read each time), the others as ever. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int (*lookup)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

static void chain(struct addrinfo **to, struct addrinfo *more)
{
	while (*to != NULL)
		to = &(*to)->ai_next;
	*to = more;
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
		struct addrinfo **out)
{
	static lookup real;
	const char *path = getenv("NAMES_FILE");
	FILE *f = path != NULL ? fopen(path, "re") : NULL;
	char known[256], address[64];
	struct addrinfo *found = NULL, *one;

	if (real == NULL)
		real = (lookup)dlsym(RTLD_NEXT, "getaddrinfo");
	while (f != NULL && name != NULL && fscanf(f, "%255s %63s", known, address) == 2)
		if (strcmp(known, name) == 0 && real(address, service, hints, &one) == 0)
			chain(&found, one);
	if (f != NULL)
		fclose(f);
	if (found == NULL)
		return real(name, service, hints, out);
	*out = found;
	return 0;
}
