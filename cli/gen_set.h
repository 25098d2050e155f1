/* gen_set.h: a FileDescriptorSet as `errand gen` sees it: files, who defines
 * which type, and two rewritings: one to embed, one that protoc-gen-c can eat.
 * Everything points into the set's bytes, which are borrowed. */
#ifndef CLI_GEN_SET_H
#define CLI_GEN_SET_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/map.h"

struct set_file {
	char *name;         /* owned: "errand/v1/tasks.proto" */
	struct bytes proto; /* FileDescriptorProto; borrowed */
	bool input;         /* given on the command line */
	bool generate;      /* protoc-gen-c is to make C of it */
	bool needed;        /* by one that is generated */
};

struct gen_set {
	struct set_file *files;
	size_t n_files;
	struct map types; /* full name -> struct set_file that defines it */
};

/* False when the bytes are no FileDescriptorSet. */
bool gen_set_load(struct gen_set *s, struct bytes set);
void gen_set_deinit(struct gen_set *s);
struct set_file *gen_set_file(const struct gen_set *s, const char *name);

/* The whole set for schema_load, without source positions that carry no
 * comment: they are most of its bytes and nobody reads them at run time. */
void gen_set_embed(const struct gen_set *s, struct buf *out);

/* Marks what the input files need and appends a set of only that, as
 * protoc-gen-c 1.4 likes it: no proto3_optional (the synthetic oneof stays), no
 * imports but those whose types are used, no extensions, no custom options but
 * protobuf-c's own. Sets `generate` for inputs, the well-known types and
 * google.api.HttpBody. */
void gen_set_strip(struct gen_set *s, struct buf *out);

#endif
