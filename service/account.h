/* account.h: the user and groups a program is to run as, looked up by name or number
 * before anything is started: names may come over the network, and between vfork and
 * exec there is no asking. Any thread. */
#ifndef SERVICE_ACCOUNT_H
#define SERVICE_ACCOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct account {
	bool switches;  /* false: it is who the service is already, nothing is to be done */
	uid_t uid;
	gid_t gid;
	gid_t *groups;  /* supplementary ones, gid among them; owned */
	size_t n_groups;
};

/* user and group: names or numbers; NULL: the service's. A user brings the groups it is a
 * member of; a group alone is the only one. 0 and *out; -ENOENT nobody of that name;
 * -EPERM the service may not switch; *whyp, malloc'd, is a sentence about it. */
int account_find(const char *user, const char *group, struct account *out, char **whyp);
void account_deinit(struct account *a);
/* In a vforked child, whose memory is the service's: system calls only. 0 or -1 with errno. */
int account_become(const struct account *a);

#endif
