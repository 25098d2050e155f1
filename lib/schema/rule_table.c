/* See rule_table.h. */
#include "schema/rule_table.h"

#include "base/util.h"

#define COMPARED(first) \
	{first, FORM_VALUE, RULE_CONST, 0, "const"}, \
	{first + 1, FORM_VALUE, RULE_LT, 0, "lt"}, {first + 2, FORM_VALUE, RULE_LTE, 0, "lte"}, \
	{first + 3, FORM_VALUE, RULE_GT, 0, "gt"}, {first + 4, FORM_VALUE, RULE_GTE, 0, "gte"}
#define LISTED(first) \
	{first, FORM_LIST, RULE_IN, 0, "in"}, {first + 1, FORM_LIST, RULE_NOT_IN, 0, "not_in"}

static const struct rule_def integer_defs[] = {
	COMPARED(1), LISTED(6), {8, FORM_EXAMPLE, 0, 0, "example"}, {0},
};

static const struct rule_def floating_defs[] = {
	COMPARED(1), LISTED(6), {8, FORM_SWITCH, RULE_FINITE, 0, "finite"}, {9, FORM_EXAMPLE, 0, 0, "example"}, {0},
};

static const struct rule_def bool_defs[] = {
	{1, FORM_VALUE, RULE_CONST, 0, "const"}, {2, FORM_EXAMPLE, 0, 0, "example"}, {0},
};

static const struct rule_def string_defs[] = {
	{1, FORM_TEXT, RULE_CONST, 0, "const"},
	{19, FORM_COUNT, RULE_LEN, 0, "len"},
	{2, FORM_COUNT, RULE_MIN_LEN, 0, "min_len"},
	{3, FORM_COUNT, RULE_MAX_LEN, 0, "max_len"},
	{20, FORM_COUNT, RULE_LEN_BYTES, 0, "len_bytes"},
	{4, FORM_COUNT, RULE_MIN_BYTES, 0, "min_bytes"},
	{5, FORM_COUNT, RULE_MAX_BYTES, 0, "max_bytes"},
	{6, FORM_PATTERN, RULE_PATTERN, 0, "pattern"},
	{7, FORM_TEXT, RULE_PREFIX, 0, "prefix"},
	{8, FORM_TEXT, RULE_SUFFIX, 0, "suffix"},
	{9, FORM_TEXT, RULE_CONTAINS, 0, "contains"},
	{23, FORM_TEXT, RULE_NOT_CONTAINS, 0, "not_contains"},
	{10, FORM_TEXTS, RULE_IN, 0, "in"},
	{11, FORM_TEXTS, RULE_NOT_IN, 0, "not_in"},
	{12, FORM_KNOWN, RULE_FORMAT, RULE_EMAIL, "email"},
	{13, FORM_KNOWN, RULE_FORMAT, RULE_HOSTNAME, "hostname"},
	{14, FORM_KNOWN, RULE_FORMAT, RULE_IP, "ip"},
	{15, FORM_KNOWN, RULE_FORMAT, RULE_IPV4, "ipv4"},
	{16, FORM_KNOWN, RULE_FORMAT, RULE_IPV6, "ipv6"},
	{17, FORM_KNOWN, RULE_FORMAT, RULE_URI, "uri"},
	{18, FORM_KNOWN, RULE_FORMAT, RULE_URI_REF, "uri_ref"},
	{21, FORM_KNOWN, RULE_FORMAT, RULE_ADDRESS, "address"},
	{22, FORM_KNOWN, RULE_FORMAT, RULE_UUID, "uuid"},
	{33, FORM_KNOWN, RULE_FORMAT, RULE_TUUID, "tuuid"},
	{26, FORM_KNOWN, RULE_FORMAT, RULE_IP_PREFIXLEN, "ip_with_prefixlen"},
	{27, FORM_KNOWN, RULE_FORMAT, RULE_IPV4_PREFIXLEN, "ipv4_with_prefixlen"},
	{28, FORM_KNOWN, RULE_FORMAT, RULE_IPV6_PREFIXLEN, "ipv6_with_prefixlen"},
	{29, FORM_KNOWN, RULE_FORMAT, RULE_IP_PREFIX, "ip_prefix"},
	{30, FORM_KNOWN, RULE_FORMAT, RULE_IPV4_PREFIX, "ipv4_prefix"},
	{31, FORM_KNOWN, RULE_FORMAT, RULE_IPV6_PREFIX, "ipv6_prefix"},
	{32, FORM_KNOWN, RULE_FORMAT, RULE_HOST_AND_PORT, "host_and_port"},
	{35, FORM_KNOWN, RULE_FORMAT, RULE_ULID, "ulid"},
	{37, FORM_KNOWN, RULE_FORMAT, RULE_PROTOBUF_FQN, "protobuf_fqn"},
	{38, FORM_KNOWN, RULE_FORMAT, RULE_PROTOBUF_DOT_FQN, "protobuf_dot_fqn"},
	{24, FORM_REGEX, RULE_FORMAT, 0, "well_known_regex"},
	{25, FORM_STRICT, 0, 0, "strict"},
	{34, FORM_EXAMPLE, 0, 0, "example"},
	{0},
};

static const struct rule_def bytes_defs[] = {
	{1, FORM_TEXT, RULE_CONST, 0, "const"},
	{13, FORM_COUNT, RULE_LEN, 0, "len"},
	{2, FORM_COUNT, RULE_MIN_LEN, 0, "min_len"},
	{3, FORM_COUNT, RULE_MAX_LEN, 0, "max_len"},
	{4, FORM_PATTERN, RULE_PATTERN, 0, "pattern"},
	{5, FORM_TEXT, RULE_PREFIX, 0, "prefix"},
	{6, FORM_TEXT, RULE_SUFFIX, 0, "suffix"},
	{7, FORM_TEXT, RULE_CONTAINS, 0, "contains"},
	{8, FORM_TEXTS, RULE_IN, 0, "in"},
	{9, FORM_TEXTS, RULE_NOT_IN, 0, "not_in"},
	{10, FORM_KNOWN, RULE_FORMAT, RULE_IP, "ip"},
	{11, FORM_KNOWN, RULE_FORMAT, RULE_IPV4, "ipv4"},
	{12, FORM_KNOWN, RULE_FORMAT, RULE_IPV6, "ipv6"},
	{15, FORM_KNOWN, RULE_FORMAT, RULE_UUID, "uuid"},
	{14, FORM_EXAMPLE, 0, 0, "example"},
	{0},
};

static const struct rule_def enum_defs[] = {
	{1, FORM_VALUE, RULE_CONST, 0, "const"},
	{2, FORM_SWITCH, RULE_DEFINED_ONLY, 0, "defined_only"},
	LISTED(3),
	{5, FORM_EXAMPLE, 0, 0, "example"},
	{0},
};

static const struct rule_def repeated_defs[] = {
	{1, FORM_COUNT, RULE_MIN_ITEMS, 0, "min_items"},
	{2, FORM_COUNT, RULE_MAX_ITEMS, 0, "max_items"},
	{3, FORM_SWITCH, RULE_UNIQUE, 0, "unique"},
	{4, FORM_ITEMS, RULE_ITEMS, 0, "items"},
	{0},
};

static const struct rule_def map_defs[] = {
	{1, FORM_COUNT, RULE_MIN_PAIRS, 0, "min_pairs"},
	{2, FORM_COUNT, RULE_MAX_PAIRS, 0, "max_pairs"},
	{4, FORM_KEYS, RULE_KEYS, 0, "keys"},
	{5, FORM_VALUES, RULE_VALUES, 0, "values"},
	{0},
};

static const struct rule_def any_defs[] = {
	{2, FORM_TEXTS, RULE_IN, 0, "in"}, {3, FORM_TEXTS, RULE_NOT_IN, 0, "not_in"}, {0},
};

static const struct rule_def duration_defs[] = {
	COMPARED(2), LISTED(7), {9, FORM_EXAMPLE, 0, 0, "example"}, {0},
};

static const struct rule_def timestamp_defs[] = {
	COMPARED(2),
	{7, FORM_SWITCH, RULE_LT_NOW, 0, "lt_now"},
	{8, FORM_SWITCH, RULE_GT_NOW, 0, "gt_now"},
	{9, FORM_SPAN, RULE_WITHIN, 0, "within"},
	{10, FORM_EXAMPLE, 0, 0, "example"},
	{0},
};

static const struct rule_def mask_defs[] = {
	{1, FORM_MASK, RULE_CONST, 0, "const"},
	{2, FORM_TEXTS, RULE_IN, 0, "in"}, {3, FORM_TEXTS, RULE_NOT_IN, 0, "not_in"},
	{4, FORM_NOTHING, 0, 0, "example"},
	{0},
};

/* By the number in FieldRules. */
static const struct rule_type types[] = {
	[1] = {"float", floating_defs}, [2] = {"double", floating_defs},
	[3] = {"int32", integer_defs}, [4] = {"int64", integer_defs},
	[5] = {"uint32", integer_defs}, [6] = {"uint64", integer_defs},
	[7] = {"sint32", integer_defs}, [8] = {"sint64", integer_defs},
	[9] = {"fixed32", integer_defs}, [10] = {"fixed64", integer_defs},
	[11] = {"sfixed32", integer_defs}, [12] = {"sfixed64", integer_defs},
	[TYPE_BOOL] = {"bool", bool_defs}, [TYPE_STRING] = {"string", string_defs},
	[TYPE_BYTES] = {"bytes", bytes_defs}, [TYPE_ENUM] = {"enum", enum_defs},
	[TYPE_REPEATED] = {"repeated", repeated_defs}, [TYPE_MAP] = {"map", map_defs},
	[TYPE_ANY] = {"any", any_defs}, [TYPE_DURATION] = {"duration", duration_defs},
	[TYPE_TIMESTAMP] = {"timestamp", timestamp_defs}, [TYPE_FIELD_MASK] = {"field_mask", mask_defs},
};

static const uint8_t type_of_field[] = {
	[FIELD_FLOAT] = 1, [FIELD_DOUBLE] = 2, [FIELD_INT32] = 3, [FIELD_INT64] = 4, [FIELD_UINT32] = 5,
	[FIELD_UINT64] = 6, [FIELD_SINT32] = 7, [FIELD_SINT64] = 8, [FIELD_FIXED32] = 9,
	[FIELD_FIXED64] = 10, [FIELD_SFIXED32] = 11, [FIELD_SFIXED64] = 12, [FIELD_BOOL] = TYPE_BOOL,
	[FIELD_STRING] = TYPE_STRING, [FIELD_BYTES] = TYPE_BYTES, [FIELD_ENUM] = TYPE_ENUM,
};

const struct rule_type *rule_type_at(uint32_t number)
{
	return number < ARRAY_LEN(types) && types[number].name != NULL ? &types[number] : NULL;
}

unsigned rule_type_of_field(enum field_type type)
{
	return type_of_field[type];
}

const struct rule_def *rule_type_find(const struct rule_type *type, uint32_t number)
{
	for (const struct rule_def *def = type->defs; def->number != 0; def++)
		if (def->number == number)
			return def;
	return NULL;
}
