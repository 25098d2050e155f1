/* module.c: see module.h. RTLD_NOW, so that a module with an unknown symbol is
 * refused at start and not at its first call; RTLD_LOCAL, so that two modules
 * may use the same names. */
#define _GNU_SOURCE
#include "service/module.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "config.h"

static void **handles; /* owned */
static size_t n_handles;

static char *path_of(const char *name)
{
	size_t len = strlen(name);

	if (strchr(name, '/') != NULL)
		return xstrdup(name);
	return xasprintf("%s/%s%s", PKGLIBDIR, name,
			 len > 3 && strcmp(name + len - 3, ".so") == 0 ? "" : ".so");
}

int module_load(const char *name, const struct errand_module **out, char *why, size_t why_size)
{
	AUTO_FREE char *path = path_of(name);
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	if (handle == NULL) {
		snprintf(why, why_size, "module %s cannot be loaded: %s", name, dlerror());
		return -ERRAND_FAILED_PRECONDITION;
	}
	*out = dlsym(handle, "errand_module");
	if (*out == NULL) {
		snprintf(why, why_size, "module %s exports no `const struct errand_module errand_module`", name);
		dlclose(handle);
		return -ERRAND_FAILED_PRECONDITION;
	}
	if ((*out)->abi != ERRAND_MODULE_ABI) {
		snprintf(why, why_size, "module %s was built for another errand (ABI %u, this one has %u): "
			 "build it again", name, (*out)->abi, ERRAND_MODULE_ABI);
		dlclose(handle);
		return -ERRAND_FAILED_PRECONDITION;
	}
	handles = xrealloc(handles, (n_handles + 1) * sizeof(void *));
	handles[n_handles++] = handle;
	return 0;
}

/* Sanitizers name functions after the end: there the code must still be mapped. */
void module_unload_all(void)
{
	while (n_handles > 0) {
		void *handle = handles[--n_handles];

#ifndef ERRAND_DEV
		dlclose(handle);
#else
		(void)handle;
#endif
	}
	free(handles);
	handles = NULL;
}
