/* schema_extensions.c: extend blocks. An extension becomes a field of the message
 * it extends, with the name JSON has for it, "[pkg.name]", so that nobody else
 * needs to know of extensions. Options of descriptors are known by number
 * (schema_options.c), but their extensions are fields as well. */
#include <stdlib.h>

#include "schema/loader.h"

enum { FIELD_EXTENDEE = 2 };

static struct bytes extendee_of(struct bytes raw)
{
	struct pbuf_reader r = pbuf_reader(raw.data, raw.len);
	struct bytes name = {0};
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		if (f.number == FIELD_EXTENDEE && f.wire == PBUF_LEN)
			name = f.bytes;
	return name;
}

int loader_extensions(struct loader *l, const char *scope, struct bytes raw, uint32_t number,
		      const struct features *inherited)
{
	struct pbuf_reader r = pbuf_reader(raw.data, raw.len);
	struct pbuf_field f;

	while (pbuf_next(&r, &f)) {
		if (f.number != number || f.wire != PBUF_LEN)
			continue;
		if ((l->n_extensions & (l->n_extensions - 1)) == 0)
			l->extensions = xrealloc(l->extensions, (l->n_extensions ? l->n_extensions * 2 : 1) *
						 sizeof *l->extensions);
		l->extensions[l->n_extensions++] = (struct pending_extension){
			.scope = scope, .raw = f.bytes, .features = *inherited};
	}
	return 0;
}

/* By extendee, then in the order of the set (raw is within its bytes). */
static int by_extendee(const void *a, const void *b)
{
	const struct pending_extension *x = a, *y = b;
	uintptr_t p = (uintptr_t)x->extendee, q = (uintptr_t)y->extendee;

	if (p != q)
		return p < q ? -1 : 1;
	return x->raw.data < y->raw.data ? -1 : x->raw.data > y->raw.data;
}

void loader_sort_extensions(struct loader *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n_extensions; i++) {
		struct pending_extension x = l->extensions[i];

		x.extendee = loader_message(l, extendee_of(x.raw));
		if (x.extendee != NULL)
			l->extensions[n++] = x;
	}
	l->n_extensions = n;
	if (n > 1)
		qsort(l->extensions, n, sizeof *l->extensions, by_extendee);
}

const struct pending_extension *loader_extensions_of(const struct loader *l,
						     const struct schema_message *m, size_t *np)
{
	size_t low = 0, high = l->n_extensions, end;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if ((uintptr_t)l->extensions[mid].extendee < (uintptr_t)m)
			low = mid + 1;
		else
			high = mid;
	}
	for (end = low; end < l->n_extensions && l->extensions[end].extendee == m; end++)
		;
	*np = end - low;
	return l->extensions + low;
}
