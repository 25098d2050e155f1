/* loader.h: what the files that build a schema share while they do; private to
 * lib/schema. A loader lives on the stack of schema_load. */
#ifndef SCHEMA_LOADER_H
#define SCHEMA_LOADER_H

#include "base/pbuf.h"
#include "schema/tables.h"

enum { PATH_MAX_LEN = 40 }; /* of SourceCodeInfo.Location.path, as far as we look */

/* What proto2 and proto3 decide for a whole file and editions for each element:
 * a file's, handed down to what is declared in it (schema_features.c). */
struct features {
	bool implicit;  /* fields have no presence: zero is absent */
	bool required;  /* LEGACY_REQUIRED */
	bool closed;    /* enums hold only their own numbers */
	bool expanded;  /* repeated scalars are written one by one */
	bool any_bytes; /* strings need not be UTF-8 */
	bool delimited; /* messages are written as groups */
	bool legacy_json; /* two fields may have one name in JSON */
};

/* A message whose name is known and whose fields are still to be read. */
struct pending_message {
	struct schema_message *message;
	struct bytes raw;
	struct features features;
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
	struct features features;
};

/* A message's extensions, wherever they are declared. */
struct pending_extension {
	const struct schema_message *extendee;
	const char *scope;   /* "pkg." or "pkg.Message."; arena */
	struct bytes raw;
	struct features features;
};

struct loader {
	struct schema *s;
	struct file *files; /* these four owned by the loader */
	struct pending_message *messages;
	struct pending_service *services;
	struct declared *declared;
	struct pending_extension *extensions; /* sorted by extendee before fields are read; owned */
	size_t n_files, n_messages, n_services, n_declared, n_extensions;
	bool any_rules; /* schema_load_any */
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
int loader_enum(struct loader *l, struct file *file, const struct features *inherited,
		const char *scope, struct bytes raw, struct schema_enum **out);

/* schema_features.c: a file's by its syntax or edition; false when neither is known. */
bool features_of_file(struct features *x, struct bytes syntax, uint64_t edition);
/* What an element says of itself: a FeatureSet in field `number` of its options. */
void features_apply(struct features *x, struct bytes options, uint32_t number);

enum { /* the field `features` of each kind of options */
	FEATURES_OF_FILE = 50, FEATURES_OF_MESSAGE = 12, FEATURES_OF_FIELD = 21,
	FEATURES_OF_ONEOF = 1, FEATURES_OF_ENUM = 7,
};

/* schema_extensions.c: extend blocks: those of a file (field 7) or message (6). */
int loader_extensions(struct loader *l, const char *scope, struct bytes raw, uint32_t number,
		      const struct features *inherited);
/* Once all messages are known: finds their extendees. Extensions of a message
 * that is not in the set are left out. */
void loader_sort_extensions(struct loader *l);
/* The first one of m, and how many follow it. */
const struct pending_extension *loader_extensions_of(const struct loader *l,
						     const struct schema_message *m, size_t *np);

/* schema_rules.c: buf.validate's options, when all fields are known. */
int loader_rules(struct loader *l);

/* schema_services.c */
int loader_service(struct loader *l, struct pending_service *p);

/* schema_comments.c: the first walk tells it of messages and enums (copied); after
 * the second it gives everything declared its comment. */
void loader_declare(struct loader *l, const struct declared *d);
int loader_comments(struct loader *l);

#endif
