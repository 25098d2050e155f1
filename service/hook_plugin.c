/* hook_plugin.c: finds and loads the transport of hook_transport.h. libcurl and what it
 * needs cost several megabytes, which a service without callbacks does not pay. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "errand/status.h"
#include "service/hook_transport.h"

/* Where libtool puts what is not installed yet: beside us. */
static char *path_in_build(void)
{
	Dl_info info;
	const char *slash;

	if (dladdr((void *)(uintptr_t)hook_plugin_load, &info) == 0 || info.dli_fname == NULL)
		return NULL;
	slash = strrchr(info.dli_fname, '/');
	if (slash == NULL || slash - info.dli_fname < 6 || strncmp(slash - 6, "/.libs", 6) != 0)
		return NULL;
	return xasprintf("%.*s/%s", (int)(slash - info.dli_fname), info.dli_fname, HOOK_PLUGIN);
}

int hook_plugin_load(const struct hook_transport **out, char *why, size_t why_size)
{
	AUTO_FREE char *built = path_in_build();
	void *handle = dlopen(built != NULL ? built : PKGLIBDIR "/" HOOK_PLUGIN, RTLD_NOW | RTLD_LOCAL);

	*out = handle != NULL ? dlsym(handle, HOOK_PLUGIN_SYMBOL) : NULL;
	if (*out != NULL)
		return 0;
	snprintf(why, why_size, "callbacks need %s, which cannot be loaded: %s", HOOK_PLUGIN, dlerror());
	return -ERRAND_UNAVAILABLE;
}
