/* loader.h: what the files that build a schema share while they do; private to
 * lib/schema. A loader lives on the stack of schema_load. */
#ifndef SCHEMA_LOADER_H
#define SCHEMA_LOADER_H

#include "base/pbuf.h"
#include "schema/tables.h"

enum { PATH_MAX_LEN = 40 }; /* of SourceCodeInfo.Location.path, as far as we look */

/* A message whose name is known and whose fields are still to be read. */
struct pending_message {
	struct schema_message *message;
	struct bytes raw;
	size_t file;
	uint32_t path[PATH_MAX_LEN]; /* as in SourceCodeInfo: 4, i, 3, j ... */
	size_t path_len;
};

struct pending_service {
	struct schema_service *service;
	struct bytes raw;
	size_t file;
	uint32_t index;
};

/* A message or an enum, for schema_comments.c. */
struct declared {
	struct schema_message *message; /* or */
	struct schema_enum *enumeration;
	struct bytes raw;
	size_t file;
	uint32_t path[PATH_MAX_LEN];
	size_t path_len;
	uint32_t *numbers; /* of the fields as declared; owned; NULL until needed */
	size_t n_numbers;
};

struct file {
	struct bytes raw;
	const char *name;    /* arena */
	const char *package; /* "" or "pkg."; arena */
	bool proto3;
};

struct loader {
	struct schema *s;
	struct file *files; /* these four owned by the loader */
	struct pending_message *messages;
	struct pending_service *services;
	struct declared *declared;
	size_t n_files, n_messages, n_services, n_declared;
	char *why;
	size_t why_size;
};

/* Says why and returns -ERRAND_INVALID_ARGUMENT. */
int loader_fail(struct loader *l, const char *fmt, ...) PRINTF(2, 3);

/* A name from the set: arena, checked to be an identifier; NULL when it is not. */
const char *loader_name(struct loader *l, struct bytes b);

/* schema_load.c: the type a type_name (".pkg.Type") means; NULL. */
const struct schema_message *loader_message(struct loader *l, struct bytes type_name);

/* schema_fields.c: one message's fields, one enum's values. */
int loader_fields(struct loader *l, struct pending_message *p);
int loader_enum(struct loader *l, struct file *file, const char *scope, struct bytes raw,
		struct schema_enum **out);

/* schema_services.c */
int loader_service(struct loader *l, struct pending_service *p);

/* schema_comments.c: the first walk tells it of messages and enums (copied); after
 * the second it gives everything declared its comment. */
void loader_declare(struct loader *l, const struct declared *d);
int loader_comments(struct loader *l);

#endif
