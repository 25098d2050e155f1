/* account.c: see account.h. */
#define _GNU_SOURCE
#include "service/account.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/util.h"

/* Where there were 16-bit ids once, the plain names are theirs. */
#ifdef SYS_setresuid32
enum { SET_UIDS = SYS_setresuid32, SET_GIDS = SYS_setresgid32, SET_GROUPS = SYS_setgroups32 };
#else
enum { SET_UIDS = SYS_setresuid, SET_GIDS = SYS_setresgid, SET_GROUPS = SYS_setgroups };
#endif

enum { ENTRY_MAX = 1 << 20, GROUPS_MAX = 65536 };

/* What the user and group databases told. */
struct found {
	char *name; /* owned; NULL: a number nobody has a name for */
	uid_t uid;
	gid_t gid;
};

static bool is_number(const char *text, unsigned *out)
{
	char *end;
	unsigned long n;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	n = strtoul(text, &end, 10);
	*out = (unsigned)n;
	return *end == 0 && errno == 0 && n < (unsigned)-1; /* -1 means "leave it" to the kernel */
}

static char *unknown(const char *what, const char *name, int rc)
{
	if (rc == -ENOENT)
		return xasprintf("there is no %s \"%s\"", what, name);
	return xasprintf("%s \"%s\" cannot be looked up: %s", what, name, strerror(-rc));
}

/* 0, or -ENOENT; what the databases say beyond that is passed on. */
static int user_look(const char *text, struct found *out)
{
	unsigned number = 0;
	bool numeric = is_number(text, &number);
	struct passwd entry, *result = NULL;
	int rc = ERANGE;

	for (size_t size = 4096; rc == ERANGE && size <= ENTRY_MAX; size *= 4) {
		AUTO_FREE char *mem = xmalloc(size);

		rc = numeric ? getpwuid_r(number, &entry, mem, size, &result)
			     : getpwnam_r(text, &entry, mem, size, &result);
		if (rc == 0 && result != NULL)
			*out = (struct found){xstrdup(entry.pw_name), entry.pw_uid, entry.pw_gid};
	}
	if (result == NULL && numeric)
		*out = (struct found){NULL, number, (gid_t)-1};
	return result != NULL || numeric ? 0 : rc != 0 && rc != ESRCH ? -rc : -ENOENT;
}

static int group_look(const char *text, gid_t *out)
{
	unsigned number;
	struct group entry, *result = NULL;
	int rc = ERANGE;

	if (is_number(text, &number)) {
		*out = number;
		return 0;
	}
	for (size_t size = 4096; rc == ERANGE && size <= ENTRY_MAX; size *= 4) {
		AUTO_FREE char *mem = xmalloc(size);

		rc = getgrnam_r(text, &entry, mem, size, &result);
		if (rc == 0 && result != NULL)
			*out = entry.gr_gid;
	}
	return result != NULL ? 0 : rc != 0 && rc != ESRCH ? -rc : -ENOENT;
}

/* All it is a member of, with the one it gets as its own. */
static void groups_of(const char *name, struct account *out)
{
	int n = 32, room;

	do {
		room = n;
		out->groups = xrealloc(out->groups, (size_t)room * sizeof *out->groups);
		if (name == NULL) {
			out->groups[0] = out->gid;
			n = 1;
			break;
		}
		if (getgrouplist(name, out->gid, out->groups, &n) >= 0)
			break;
		n = MAX(n, 2 * room);
	} while (n <= GROUPS_MAX);
	out->n_groups = (size_t)MIN(n, room);
}

static int refuse(int rc, char **whyp, char *why)
{
	*whyp = why;
	return rc;
}

static int look(const char *user, const char *group, struct account *out, char **namep, char **whyp)
{
	struct found f = {NULL, geteuid(), getegid()};
	int rc = user != NULL ? user_look(user, &f) : 0;

	*namep = f.name;
	if (rc < 0)
		return refuse(rc, whyp, unknown("user", user, rc));
	if (group != NULL && (rc = group_look(group, &f.gid)) < 0)
		return refuse(rc, whyp, unknown("group", group, rc));
	if (f.gid == (gid_t)-1)
		return refuse(-ENOENT, whyp, xasprintf("user %s has no name here, so it needs a group", user));
	out->uid = f.uid;
	out->gid = f.gid;
	return 0;
}

int account_find(const char *user, const char *group, struct account *out, char **whyp)
{
	AUTO_FREE char *name = NULL;
	int rc;

	*out = (struct account){.uid = geteuid(), .gid = getegid()};
	*whyp = NULL;
	if (user == NULL && group == NULL)
		return 0;
	rc = look(user, group, out, &name, whyp);
	if (rc < 0)
		return rc;
	if (geteuid() != 0 && out->uid == geteuid() && out->gid == getegid())
		return 0;
	if (geteuid() != 0)
		return refuse(-EPERM, whyp, xasprintf("to run a program as %s%s%s the service must be root",
						      user ? user : "", user && group ? ":" : "", group ? group : ""));
	groups_of(name, out);
	out->switches = true;
	return 0;
}

void account_deinit(struct account *a)
{
	free(a->groups);
	*a = (struct account){0};
}

/* Not setuid(3) and its kin: the C library's change all threads of the process, which it
 * would take the service's for. */
int account_become(const struct account *a)
{
	if (!a->switches)
		return 0;
	if (syscall(SET_GROUPS, a->n_groups, a->groups) < 0 || syscall(SET_GIDS, a->gid, a->gid, a->gid) < 0)
		return -1;
	return (int)syscall(SET_UIDS, a->uid, a->uid, a->uid);
}
