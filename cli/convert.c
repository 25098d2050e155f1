/* convert.c: errand convert: one message from stdin to stdout, JSON or binary on
 * both sides. What is written is canonical; what is refused is told as a problem
 * object on one line of stderr. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "cli/cli.h"
#include "cli/schema_arg.h"
#include "cli/show.h"
#include "schema/transcode.h"
#include "schema/validate.h"

struct convert_conf {
	const char *schema, *type, *from, *to;
	bool validate, ignore_unknown, http, pretty;
};

#define OFF(field) offsetof(struct convert_conf, field)
static const struct opt options[] = {
	{"schema", 0, OPT_STRING, OFF(schema), NULL, 0, 0, "FILE.pb|SOCKET",
	 "a descriptor set, or a service's socket or URL"},
	{"type", 0, OPT_STRING, OFF(type), NULL, 0, 0, "pkg.Message", "what the message is"},
	{"from", 0, OPT_STRING, OFF(from), "json", 0, 0, "json|binary", "what comes in"},
	{"to", 0, OPT_STRING, OFF(to), "binary", 0, 0, "json|binary", "what goes out"},
	{"validate", 0, OPT_FLAG, OFF(validate), NULL, 0, 0, NULL,
	 "refuse what breaks the buf.validate rules of the schema"},
	{"ignore-unknown", 0, OPT_FLAG, OFF(ignore_unknown), NULL, 0, 0, NULL,
	 "skip unknown fields and enum names of JSON"},
	{"http", 0, OPT_FLAG, OFF(http), NULL, 0, 0, NULL,
	 "JSON as the gateway answers: names as in the .proto, zero values shown"},
	{"pretty", 0, OPT_FLAG, OFF(pretty), NULL, 0, 0, NULL, "indent JSON"},
};

struct convert {
	const struct convert_conf *conf;
	const struct schema *schema;
	const struct schema_message *message;
	bool from_json, to_json;
};

/* --- what is refused --- */

static int refuse_whole(const char *rule, const char *why)
{
	struct fault_list faults = FAULT_LIST_INIT;
	int r;

	fault_add(&faults, FAULT_SCHEMA, FAULT_POINTER, "#", rule, NULL, 0, "%s", why);
	r = show_refused(&faults, "message");
	fault_list_deinit(&faults);
	return r;
}

/* --- the way through --- */

static int read_json(const struct convert *c, const struct buf *in, struct buf *wire)
{
	struct transcode_read o = {.schema = c->schema, .ignore_unknown = c->conf->ignore_unknown,
				   .allow_nul = true, .max_output = SIZE_MAX / 2};
	struct fault_list faults = FAULT_LIST_INIT;
	int r = CLI_OK;

	if (transcode_from_json(&o, c->message, (const char *)in->data, in->len, "#", wire, &faults) < 0)
		r = show_refused(&faults, "message");
	fault_list_deinit(&faults);
	return r;
}

static int validate(const struct convert *c, const struct buf *wire)
{
	struct fault_list faults = FAULT_LIST_INIT;
	int r = CLI_OK;

	if (c->conf->validate && validate_message(c->message, buf_bytes(wire), NULL, &faults) < 0)
		r = show_refused(&faults, "message");
	fault_list_deinit(&faults);
	return r;
}

static int write_json(const struct convert *c, const struct buf *wire, struct buf *out)
{
	struct transcode_write o = {.schema = c->schema, .skip_zero = !c->conf->http,
				    .json_names = !c->conf->http, .pretty = c->conf->pretty};
	char why[512] = "";

	if (transcode_to_json(&o, c->message, buf_bytes(wire), out, why, sizeof why) < 0)
		return refuse_whole("json", why);
	buf_append_byte(out, '\n');
	return CLI_OK;
}

static int convert(const struct convert *c, const struct buf *in, struct buf *out)
{
	AUTO_BUF read = BUF_INIT;
	AUTO_BUF wire = BUF_INIT;
	char why[512] = "";
	int r = c->from_json ? read_json(c, in, &read) : CLI_OK;

	if (r != CLI_OK)
		return r;
	if (transcode_normalize(c->message, buf_bytes(c->from_json ? &read : in), &wire, why,
				sizeof why) < 0)
		return refuse_whole("wire", why);
	r = validate(c, &wire);
	if (r != CLI_OK)
		return r;
	if (c->to_json)
		return write_json(c, &wire, out);
	buf_append(out, wire.data, wire.len);
	return CLI_OK;
}

/* --- the command line --- */

static bool format_of(const char *option, const char *text, bool *jsonp)
{
	*jsonp = strcmp(text, "json") == 0;
	if (*jsonp || strcmp(text, "binary") == 0)
		return true;
	cli_error("convert: --%s is json or binary, not '%s'", option, text);
	return false;
}

static int run(struct convert *c)
{
	AUTO_BUF in = BUF_INIT;
	AUTO_BUF out = BUF_INIT;
	int r;

	if (!schema_arg_read("-", &in))
		return CLI_FAILED;
	r = convert(c, &in, &out);
	if (r != CLI_OK)
		return r;
	if (out.len > 0)
		fwrite(out.data, out.len, 1, stdout);
	return cli_flush();
}

int convert_command(int argc, char **argv)
{
	struct convert_conf conf;
	int r, first = cli_parse(options, ARRAY_LEN(options), &conf, argc, argv,
				 "errand convert --schema FILE.pb|SOCKET --type pkg.Message "
				 "[--from json|binary] [--to json|binary] <IN >OUT");
	struct convert c = {.conf = &conf};
	struct schema *schema;

	if (first < argc) {
		cli_error("convert: '%s' is too much: the message comes from stdin", argv[first]);
		return CLI_USAGE;
	}
	if (!format_of("from", conf.from, &c.from_json) || !format_of("to", conf.to, &c.to_json))
		return CLI_USAGE;
	if (conf.type == NULL) {
		cli_error("convert: --type is missing: the message's full name, pkg.Message");
		return CLI_USAGE;
	}
	r = schema_arg_load(conf.schema, "convert", &schema);
	if (r != CLI_OK)
		return r;
	c.schema = schema;
	c.message = schema_arg_message(schema, "convert", conf.type);
	if (c.message != NULL && conf.validate && c.message->rules_refused != NULL) {
		cli_error("%s: %s", conf.schema, c.message->rules_refused);
		r = CLI_DATA;
	} else {
		r = c.message != NULL ? run(&c) : CLI_NOT_FOUND;
	}
	schema_unref(schema);
	return r;
}
