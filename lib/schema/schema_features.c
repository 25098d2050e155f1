/* schema_features.c: what the syntax says for a whole file and an edition's
 * FeatureSet says for a file, a message, a field or an enum. */
#include "base/pbuf.h"
#include "schema/loader.h"

/* google.protobuf.FeatureSet, and the enums of its fields. */
enum {
	FEATURE_PRESENCE = 1, PRESENCE_EXPLICIT = 1, PRESENCE_IMPLICIT, PRESENCE_REQUIRED,
	FEATURE_ENUM = 2, ENUM_OPEN = 1, ENUM_CLOSED,
	FEATURE_REPEATED = 3, REPEATED_PACKED = 1, REPEATED_EXPANDED,
	FEATURE_UTF8 = 4, UTF8_VERIFY = 2, UTF8_NONE,
	FEATURE_MESSAGE = 5, MESSAGE_PREFIXED = 1, MESSAGE_DELIMITED,
	FEATURE_JSON = 6, JSON_ALLOW = 1, JSON_LEGACY,
	EDITION_FIRST = 1000, EDITION_LAST = 1001, /* 2023, 2024 */
};

static bool is(struct bytes text, const char *word)
{
	return text.len == strlen(word) && memcmp(text.data, word, text.len) == 0;
}

bool features_of_file(struct features *x, struct bytes syntax, uint64_t edition)
{
	*x = (struct features){0};
	if (syntax.len == 0 || is(syntax, "proto2"))
		*x = (struct features){.closed = true, .expanded = true, .any_bytes = true,
				       .legacy_json = true};
	else if (is(syntax, "proto3"))
		x->implicit = true;
	else
		return is(syntax, "editions") && edition >= EDITION_FIRST && edition <= EDITION_LAST;
	return true;
}

static void apply_one(struct features *x, uint32_t number, uint64_t v)
{
	switch (number) {
	case FEATURE_PRESENCE:
		x->implicit = v == PRESENCE_IMPLICIT;
		x->required = v == PRESENCE_REQUIRED;
		break;
	case FEATURE_ENUM:
		x->closed = v == ENUM_CLOSED;
		break;
	case FEATURE_REPEATED:
		x->expanded = v == REPEATED_EXPANDED;
		break;
	case FEATURE_UTF8:
		x->any_bytes = v == UTF8_NONE;
		break;
	case FEATURE_MESSAGE:
		x->delimited = v == MESSAGE_DELIMITED;
		break;
	case FEATURE_JSON:
		x->legacy_json = v == JSON_LEGACY;
		break;
	}
}

void features_apply(struct features *x, struct bytes options, uint32_t number)
{
	struct pbuf_reader r = pbuf_reader(options.data, options.len);
	struct pbuf_field f, one;

	while (pbuf_next(&r, &f)) {
		struct pbuf_reader set = pbuf_reader(f.bytes.data, f.bytes.len);

		if (f.number != number || f.wire != PBUF_LEN)
			continue;
		while (pbuf_next(&set, &one))
			if (one.wire == PBUF_VARINT && one.value != 0)
				apply_one(x, one.number, one.value);
	}
}
