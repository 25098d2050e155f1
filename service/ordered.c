/* ordered.c: a treap: a search tree by order and a heap by random weights, which
 * keeps it about as flat as a balanced one. */
#include "service/ordered.h"

#include "base/util.h"

/* xorshift; the weights need no secrecy: the order of the keys is not their
 * author's to choose. */
static uint32_t weight(void)
{
	static _Thread_local uint32_t x = 2463534242u;

	x ^= x << 13;
	x ^= x >> 17;
	return x ^= x << 5;
}

/* Splits the tree under n into what is before key and what is not. */
static void split(const struct ordered *o, struct ordered_node *n, const struct ordered_node *key,
		  struct ordered_node **left, struct ordered_node **right)
{
	while (n != NULL)
		if (o->compare(n, key) < 0) {
			*left = n;
			left = &n->right;
			n = n->right;
		} else {
			*right = n;
			right = &n->left;
			n = n->left;
		}
	*left = *right = NULL;
}

static void merge(struct ordered_node **at, struct ordered_node *left, struct ordered_node *right)
{
	while (left != NULL && right != NULL)
		if (left->weight > right->weight) {
			*at = left;
			at = &left->right;
			left = left->right;
		} else {
			*at = right;
			at = &right->left;
			right = right->left;
		}
	*at = left ? left : right;
}

void ordered_insert(struct ordered *o, struct ordered_node *node)
{
	struct ordered_node **at = &o->root;

	node->weight = weight();
	while (*at != NULL && (*at)->weight >= node->weight)
		at = o->compare(*at, node) < 0 ? &(*at)->right : &(*at)->left;
	split(o, *at, node, &node->left, &node->right);
	*at = node;
	o->n++;
}

void ordered_remove(struct ordered *o, struct ordered_node *node)
{
	struct ordered_node **at = &o->root;

	while (*at != node)
		at = o->compare(*at, node) < 0 ? &(*at)->right : &(*at)->left;
	merge(at, node->left, node->right);
	o->n--;
}

/* The first member whose comparison with key is at least `least`. */
static struct ordered_node *seek(const struct ordered *o, const struct ordered_node *key, int least)
{
	struct ordered_node *found = NULL;

	for (struct ordered_node *n = o->root; n != NULL;) {
		int c = key == NULL ? 1 : o->compare(n, key);

		if (c > 0 || (c == 0 && least == 0)) {
			found = n;
			n = n->left;
		} else {
			n = n->right;
		}
	}
	return found;
}

struct ordered_node *ordered_from(const struct ordered *o, const struct ordered_node *key)
{
	return seek(o, key, 0);
}

struct ordered_node *ordered_after(const struct ordered *o, const struct ordered_node *key)
{
	return seek(o, key, 1);
}

struct ordered_node *ordered_before(const struct ordered *o, const struct ordered_node *key)
{
	struct ordered_node *found = NULL;

	for (struct ordered_node *n = o->root; n != NULL;)
		if (key == NULL || o->compare(n, key) < 0) {
			found = n;
			n = n->right;
		} else {
			n = n->left;
		}
	return found;
}
