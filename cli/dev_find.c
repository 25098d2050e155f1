#define _GNU_SOURCE
#include "cli/dev_find.h"

#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

/* Takes path: gives it back when it is there, else frees it. */
static char *if_there(char *path, int mode)
{
	if (access(path, mode) == 0)
		return path;
	free(path);
	return NULL;
}

static bool in_libs(const char *folder)
{
	size_t len = strlen(folder);

	return len >= 6 && strcmp(folder + len - 6, "/.libs") == 0;
}

char *dev_find_there(const char *name, const char *variable)
{
	const char *named = getenv(variable);
	AUTO_FREE char *own = cli_folder();
	char *found = NULL;

	if (named != NULL && *named != '\0')
		return if_there(xstrdup(named), X_OK);
	/* libtool's script first: the program behind it lacks its libraries */
	if (in_libs(own))
		found = if_there(xasprintf("%s/../%s", own, name), X_OK);
	if (found == NULL)
		found = if_there(xasprintf("%s/%s", own, name), X_OK);
	if (found == NULL)
		found = if_there(xasprintf("%s/../sbin/%s", own, name), X_OK);
	return found != NULL ? found : if_there(xasprintf("%s/%s", SBINDIR, name), X_OK);
}

char *dev_find_program(const char *name, const char *variable)
{
	const char *named = getenv(variable);
	char *found = dev_find_there(name, variable);

	if (found == NULL && named != NULL && *named != '\0')
		cli_error("dev: %s=%s cannot be run", variable, named);
	else if (found == NULL)
		cli_error("dev: %s not found beside errand or in %s: install it, or set %s", name,
			  SBINDIR, variable);
	return found;
}

char *dev_find_example(void)
{
	const char *named = getenv("ERRAND_MODULE_DIR");
	AUTO_FREE char *own = cli_folder();
	char *found = NULL;

	if (named != NULL && *named != '\0')
		found = if_there(xasprintf("%s/article.so", named), R_OK);
	if (found == NULL && in_libs(own))
		found = if_there(xasprintf("%s/article.so", own), R_OK);
	if (found == NULL)
		found = if_there(xasprintf("%s/.libs/article.so", own), R_OK);
	if (found == NULL)
		found = if_there(xasprintf("%s/article.so", PKGLIBDIR), R_OK);
	if (found == NULL)
		found = if_there(xasprintf("%s/../lib/errand/article.so", own), R_OK);
	if (found == NULL)
		cli_error("dev: no MODULE.so given, and the example article.so is not in %s",
			  PKGLIBDIR);
	return found;
}

char *dev_find_docs(void)
{
	AUTO_FREE char *own = cli_folder();
	char *found = if_there(xasprintf("%s/%sweb/ui", own, in_libs(own) ? "../" : ""), R_OK | X_OK);

	if (found == NULL && access(PKGDATADIR "/docs", R_OK | X_OK) != 0)
		found = if_there(xasprintf("%s/../share/errand/docs", own), R_OK | X_OK);
	return found;
}
