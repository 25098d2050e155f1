/* list.h: an intrusive, circular, doubly linked list. A node is a member of
 * what it links; the list owns nothing. Not thread-safe. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/util.h"

struct list {
	struct list *prev, *next;
};

#define LIST_INIT(l) {&(l), &(l)}

static inline void list_init(struct list *l)
{
	l->prev = l->next = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_push_back(struct list *l, struct list *node)
{
	node->prev = l->prev;
	node->next = l;
	l->prev->next = node;
	l->prev = node;
}

static inline void list_push_front(struct list *l, struct list *node)
{
	list_push_back(l->next, node);
}

/* Safe on a node that is already out; leaves it linked to itself. */
static inline void list_remove(struct list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

static inline struct list *list_pop_front(struct list *l)
{
	struct list *node = l->next;

	if (node == l)
		return NULL;
	list_remove(node);
	return node;
}

/* Moves all of `from` to the end of `to`; from is empty after it. */
static inline void list_splice(struct list *to, struct list *from)
{
	if (list_empty(from))
		return;
	from->next->prev = to->prev;
	from->prev->next = to;
	to->prev->next = from->next;
	to->prev = from->prev;
	list_init(from);
}

#define LIST_ENTRY(node, type, member) CONTAINER_OF(node, type, member)

/* The body may remove the current node. */
#define LIST_FOREACH(it, l) \
	for (struct list *it = (l)->next, *it##_next = it->next; it != (l); \
	     it = it##_next, it##_next = it->next)

#endif
