/* if_match.c: see if_match.h. What is no tag is passed over: it names no version. */
#include "service/if_match.h"

#include <string.h>

bool if_match_names(const char *tags, const char *etag)
{
	size_t len = strlen(etag);

	if (strcmp(tags, "*") == 0)
		return true;
	while (*(tags += strspn(tags, " \t,")) != '\0') {
		const char *end = *tags == '"' ? strchr(tags + 1, '"') : NULL;
		bool same = strncmp(tags, etag, len) == 0;

		if (end == NULL) { /* weak, or no tag */
			tags += strcspn(tags, ",");
			continue;
		}
		tags = end + 1;
		if (same)
			return true;
	}
	return false;
}
