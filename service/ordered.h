/* ordered.h: an intrusive ordered set (a treap): the index of the memory store.
 * Owns nothing. Not thread-safe. */
#ifndef SERVICE_ORDERED_H
#define SERVICE_ORDERED_H

#include <stddef.h>
#include <stdint.h>

struct ordered_node {
	struct ordered_node *left, *right;
	uint32_t weight; /* random; parents weigh more than children */
};

struct ordered {
	struct ordered_node *root;
	/* < 0, 0, > 0; never 0 for two members */
	int (*compare)(const struct ordered_node *a, const struct ordered_node *b);
	size_t n;
};

void ordered_insert(struct ordered *o, struct ordered_node *node);
void ordered_remove(struct ordered *o, struct ordered_node *node); /* a member */
/* The first member that is not before `key` / is after it, in order; NULL key: the
 * first of all. NULL when there is none. */
struct ordered_node *ordered_from(const struct ordered *o, const struct ordered_node *key);
struct ordered_node *ordered_after(const struct ordered *o, const struct ordered_node *key);
/* The last member before key; NULL key: the last of all. */
struct ordered_node *ordered_before(const struct ordered *o, const struct ordered_node *key);

#endif
