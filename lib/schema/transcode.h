/* transcode.h: ProtoJSON text to wire bytes and back, in one pass, directed by
 * the tables; no DOM, no C structs. Thread-safe (state is on the stack and in
 * the caller's buffers).
 *
 * Lengths of nested messages are not known beforehand: JSON -> wire writes each
 * nested message after a length field of fixed width that is shifted down when
 * the message closes, or any way that is as fast; output is canonical varints. */
#ifndef SCHEMA_TRANSCODE_H
#define SCHEMA_TRANSCODE_H

#include "schema/fault.h"
#include "schema/schema.h"

#define TRANSCODE_JSON_DEPTH 64
#define TRANSCODE_WIRE_DEPTH 100

struct transcode_read {
	const struct schema *schema; /* for Any */
	bool ignore_unknown;         /* unknown fields and enum names are skipped, not faults */
	bool keep_zero;              /* zeros of fields without presence are written: to compare */
	bool allow_nul;              /* U+0000 in strings: protobuf has it, protobuf-c cuts there */
	size_t max_output;           /* bytes; 0 = 64 MiB */
};

/* Appends the wire form of JSON text to `out`. 0, or -ERRAND_INVALID_ARGUMENT
 * with at least one fault; out's addition is then meaningless (truncated off).
 * `prefix` goes in front of each pointer ("#" for a whole body). */
int transcode_from_json(const struct transcode_read *o, const struct schema_message *m,
			const char *json, size_t len, const char *prefix, struct buf *out,
			struct fault_list *faults);

/* One field's value, as JSON text of that field (a body bound to a field; lists
 * and maps included). */
int transcode_field_from_json(const struct transcode_read *o, const struct schema_field *f,
			      const char *json, size_t len, const char *prefix,
			      struct buf *out, struct fault_list *faults);

/* One value given as plain text (path variable, query parameter, `field=value` of
 * the CLI): scalars, enums by name or number, wrappers, Timestamp, Duration,
 * FieldMask; a repeated field gets one element. `path` ends at the field, from
 * the request message down, so nested ones are written too. Faults name
 * `parameter` (its name as the client knows it). */
int transcode_field_from_text(const struct schema_field *const *path, size_t depth,
			      const char *text, size_t len, const char *parameter,
			      struct buf *out, struct fault_list *faults);

/* Can one value of it be given so? */
bool transcode_field_is_text(const struct schema_field *f);

struct transcode_write {
	const struct schema *schema; /* for Any; an unknown type is an error */
	bool skip_zero;              /* leave out zero values of fields without presence */
	bool json_names;             /* lowerCamelCase: canonical ProtoJSON */
	bool pretty;                 /* two spaces and newlines, for people */
};

/* Appends the JSON of a wire message. 0, or -ERRAND_DATA_LOSS when the bytes are
 * not such a message, with the reason in why. Fields come in order of number
 * (the last of a repeated singular wins, messages merge). Unknown fields are
 * skipped. */
int transcode_to_json(const struct transcode_write *o, const struct schema_message *m,
		      struct bytes wire, struct buf *out, char *why, size_t why_size);

/* Appends the message again in canonical form, as protobuf's own serializers
 * write it: fields in order of number, then the unknown ones; what came twice
 * merged, lists packed or not as declared, varints shortest, values cut to their
 * type. 0, or -ERRAND_DATA_LOSS with the reason in why: malformed bytes, over 100
 * messages deep, a string that is not UTF-8 where it must be, a required field
 * that is missing. What is in an Any stays as it is. */
int transcode_normalize(const struct schema_message *m, struct bytes wire, struct buf *out,
			char *why, size_t why_size);

/* Only the value of field f of message bytes `wire` (response_body). */
int transcode_field_to_json(const struct transcode_write *o, const struct schema_field *f,
			    struct bytes wire, struct buf *out, char *why, size_t why_size);

/* The last value of a string, integer or enum field as text into out (SSE id,
 * event; path of a Location). False when it is not there. */
bool transcode_field_text(const struct schema_field *f, struct bytes wire, struct buf *out);

#endif
