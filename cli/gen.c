/* gen.c: `errand gen`: protoc reads the .proto files into one descriptor set; the
 * set is linted and embedded as C; protoc-gen-c makes C of a stripped copy, since
 * it knows neither proto3's optional nor options. All is made in a private
 * folder and copied to where it belongs only when it has changed. */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/cli.h"
#include "cli/gen_file.h"
#include "cli/gen_lint.h"
#include "cli/gen_set.h"

struct gen_conf {
	struct opt_list include;
	const char *out, *name, *protoc, *protoc_gen_c;
	bool quiet;
};

#define O(field) offsetof(struct gen_conf, field)
static const struct opt options[] = {
	{"include", 'I', OPT_LIST, O(include), NULL, 0, 0, "DIR",
	 "where .proto files and their imports are; default the current folder"},
	{"out", 'o', OPT_STRING, O(out), ".", 0, 0, "DIR", "where the C goes"},
	{"name", 0, OPT_STRING, O(name), NULL, 0, 0, "NAME",
	 "of NAME.schema.c and of NAME_schema; default the first file's"},
	{"protoc", 0, OPT_STRING, O(protoc), "protoc", 0, 0, "PROGRAM", "the compiler"},
	{"protoc-gen-c", 0, OPT_STRING, O(protoc_gen_c), "protoc-gen-c", 0, 0, "PROGRAM",
	 "its plug-in for C"},
	{"quiet", 'q', OPT_FLAG, O(quiet), NULL, 0, 0, NULL, "do not list the files written"},
};
#undef O

static const char usage[] =
	"errand gen [options] FILE.proto...\n\n"
	"Makes FILE.pb-c.c and .h (protobuf-c) of each file, and NAME.schema.c and .h with\n"
	"the descriptor set that a service hands to the gateway.";

/* One run. */
struct gen {
	struct gen_conf conf;
	char **files; /* operands */
	int n_files;
	char *work;       /* private folder */
	char *name;       /* of the schema */
	struct opt_list args; /* of the protoc being started; strings borrowed */
	char **owned;     /* strings in args that are ours */
	size_t n_owned;
};

/* --- command lines --- */

static void arg(struct gen *g, const char *text)
{
	g->args.items = xrealloc(g->args.items, (g->args.n + 2) * sizeof *g->args.items);
	g->args.items[g->args.n++] = text;
	g->args.items[g->args.n] = NULL;
}

/* Takes text. */
static void arg_take(struct gen *g, char *text)
{
	g->owned = xrealloc(g->owned, (g->n_owned + 1) * sizeof *g->owned);
	g->owned[g->n_owned++] = text;
	arg(g, text);
}

static void args_reset(struct gen *g)
{
	for (size_t i = 0; i < g->n_owned; i++)
		free(g->owned[i]);
	free(g->owned);
	free(g->args.items);
	g->owned = NULL;
	g->args = (struct opt_list){NULL, 0};
	g->n_owned = 0;
}

/* CLI_OK or what to exit with, said on stderr. */
static int run_protoc(struct gen *g, const char *failed)
{
	int r = gen_run(g->args.items);

	if (r == -ENOENT)
		cli_error("%s not found: install it (Debian: apt-get install protobuf-compiler "
			  "libprotobuf-dev) or name it with --protoc", g->conf.protoc);
	else if (r < 0)
		cli_error("cannot run %s: %s", g->conf.protoc, strerror(-r));
	else if (r > 128)
		cli_error("%s was killed by signal %d", g->conf.protoc, r - 128);
	else if (r > 0)
		cli_error("%s", failed);
	return r == 0 ? CLI_OK : r > 0 && r < 128 ? CLI_DATA : r < 0 ? CLI_UNREACHABLE : CLI_FAILED;
}

/* --- protoc: the set --- */

/* What of `file` is below `dir`, or NULL. */
static const char *below(const char *dir, const char *file)
{
	size_t len = strlen(dir);

	while (len > 0 && dir[len - 1] == '/')
		len--;
	if (strncmp(dir, file, len) != 0 || file[len] != '/')
		return NULL;
	for (file += len; *file == '/';)
		file++;
	return file;
}

static bool is_folder(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Each file must be below some -I: for one that is not, its own folder is. */
static void include_own_folders(struct gen *g)
{
	for (int i = 0; i < g->n_files; i++) {
		const char *file = g->files[i], *slash = strrchr(file, '/');
		bool covered = g->conf.include.n == 0 && *file != '/' &&
			       strncmp(file, "../", 3) != 0;

		for (size_t k = 0; k < g->conf.include.n; k++)
			covered |= below(g->conf.include.items[k], file) != NULL;
		if (!covered && slash != NULL && access(file, F_OK) == 0)
			arg_take(g, xasprintf("-I%.*s", (int)MAX(slash - file, 1), file));
	}
}

static bool has_installed(void)
{
	AUTO_FREE char *own = cli_folder();
	AUTO_FREE char *beside = xasprintf("%s/../share/errand/proto", own);

	return is_folder(PKGDATADIR "/proto") || is_folder(beside);
}

/* errand/v1 and google/api, from an installation anywhere; protoc brings
 * google/protobuf itself. */
static void include_installed(struct gen *g)
{
	AUTO_FREE char *own = cli_folder();
	AUTO_FREE char *beside = xasprintf("%s/../share/errand/proto", own);

	if (is_folder(PKGDATADIR "/proto"))
		arg(g, "-I" PKGDATADIR "/proto");
	else if (is_folder(beside))
		arg_take(g, xasprintf("-I%s", beside));
}

static int read_protos(struct gen *g, struct buf *set)
{
	AUTO_FREE char *path = xasprintf("%s/set.pb", g->work);
	int r;

	arg(g, g->conf.protoc);
	arg(g, "--include_imports");
	arg(g, "--include_source_info");
	arg_take(g, xasprintf("--descriptor_set_out=%s", path));
	for (size_t i = 0; i < g->conf.include.n; i++)
		arg_take(g, xasprintf("-I%s", g->conf.include.items[i]));
	if (g->conf.include.n == 0)
		arg(g, "-I.");
	include_installed(g);
	include_own_folders(g);
	for (int i = 0; i < g->n_files; i++)
		arg(g, g->files[i]);
	r = run_protoc(g, "protoc did not accept the files (its errors are above)");
	args_reset(g);
	if (r == CLI_DATA && !has_installed())
		cli_error("gen: the .proto files of errand/v1 and google/api are not in " PKGDATADIR
			  "/proto: install errand, or name the folder of its sources: -I.../proto -I.");
	if (r == CLI_OK && !gen_read(path, set))
		r = CLI_FAILED;
	return r;
}

/* --- which of the set are the operands --- */

static struct set_file *find_under(const struct gen_set *set, const char *dir, const char *file)
{
	AUTO_FREE char *real_dir = realpath(dir, NULL), *real_file = realpath(file, NULL);
	const char *rest = below(dir, file);
	struct set_file *found = rest != NULL ? gen_set_file(set, rest) : NULL;

	if (found == NULL && real_dir != NULL && real_file != NULL) {
		rest = below(real_dir, real_file);
		found = rest != NULL ? gen_set_file(set, rest) : NULL;
	}
	return found;
}

/* protoc takes a path on disk below some -I, or a name relative to one. */
static struct set_file *find_operand(const struct gen *g, const struct gen_set *set,
				     const char *file)
{
	struct set_file *found;

	for (size_t i = 0; i < g->conf.include.n; i++) {
		found = find_under(set, g->conf.include.items[i], file);
		if (found != NULL)
			return found;
	}
	found = find_under(set, ".", file);
	if (found == NULL)
		found = gen_set_file(set, file);
	if (found == NULL && strrchr(file, '/') != NULL)
		found = gen_set_file(set, strrchr(file, '/') + 1);
	return found;
}

static int mark_inputs(const struct gen *g, struct gen_set *set)
{
	for (int i = 0; i < g->n_files; i++) {
		struct set_file *file = find_operand(g, set, g->files[i]);

		if (file == NULL) {
			cli_error("%s: not found among what protoc read: is it below an -I folder?",
				  g->files[i]);
			return CLI_DATA;
		}
		file->input = true;
	}
	return CLI_OK;
}

static int lint(const struct gen_set *set)
{
	AUTO_BUF faults = BUF_INIT;
	size_t n = 0;

	for (size_t i = 0; i < set->n_files; i++)
		if (set->files[i].input)
			n += gen_lint(&set->files[i], &faults);
	if (n == 0)
		return CLI_OK;
	fputs(buf_cstr(&faults), stderr);
	cli_error("%zu name%s cannot become C", n, n == 1 ? "" : "s");
	return CLI_DATA;
}

/* --- protoc-gen-c --- */

/* The plug-in's path, as protoc wants it; NULL after an error. */
static char *find_plugin(const char *name)
{
	const char *path = getenv("PATH");

	if (strchr(name, '/') != NULL)
		return access(name, X_OK) == 0 ? xstrdup(name) : NULL;
	for (const char *p = path != NULL ? path : ""; *p != '\0';) {
		size_t len = strcspn(p, ":");
		AUTO_FREE char *full = xasprintf("%.*s/%s", (int)len, p, name);

		if (len > 0 && access(full, X_OK) == 0)
			return xstrdup(full);
		p += len + (p[len] == ':');
	}
	return NULL;
}

static int make_c(struct gen *g, struct gen_set *set)
{
	AUTO_FREE char *plugin = find_plugin(g->conf.protoc_gen_c);
	AUTO_FREE char *path = xasprintf("%s/stripped.pb", g->work);
	AUTO_BUF stripped = BUF_INIT;
	int r;

	if (plugin == NULL) {
		cli_error("%s not found: install it (Debian: apt-get install protobuf-c-compiler) "
			  "or name it with --protoc-gen-c", g->conf.protoc_gen_c);
		return CLI_UNREACHABLE;
	}
	gen_set_strip(set, &stripped);
	if (!gen_write(path, stripped.data, stripped.len))
		return CLI_FAILED;
	arg(g, g->conf.protoc);
	arg_take(g, xasprintf("--descriptor_set_in=%s", path));
	arg_take(g, xasprintf("--plugin=protoc-gen-c=%s", plugin));
	arg_take(g, xasprintf("--c_out=%s", g->work));
	for (size_t i = 0; i < set->n_files; i++)
		if (set->files[i].generate)
			arg(g, set->files[i].name);
	r = run_protoc(g, "protoc-gen-c did not accept the files (its errors are above)");
	args_reset(g);
	return r;
}

/* --- out --- */

static bool put(const struct gen *g, const char *name, const struct buf *text)
{
	bool here = strcmp(g->conf.out, ".") == 0;
	AUTO_FREE char *path = xasprintf("%s%s%s", here ? "" : g->conf.out, here ? "" : "/", name);

	if (!gen_write(path, text->data, text->len))
		return false;
	if (!g->conf.quiet)
		printf("%s\n", path);
	return true;
}

static bool put_c(const struct gen *g, const struct set_file *file)
{
	size_t len = strlen(file->name), cut = len > 6 ? len - 6 : len; /* ".proto" */

	if (strcmp(file->name + cut, ".proto") != 0)
		cut = len;
	for (int i = 0; i < 2; i++) {
		AUTO_FREE char *name = xasprintf("%.*s.pb-c.%c", (int)cut, file->name, "ch"[i]);
		AUTO_FREE char *path = xasprintf("%s/%s", g->work, name);
		AUTO_BUF text = BUF_INIT;

		if (!gen_read(path, &text) || !put(g, name, &text))
			return false;
	}
	return true;
}

static int put_all(const struct gen *g, const struct gen_set *set)
{
	AUTO_FREE char *c_name = xasprintf("%s.schema.c", g->name);
	AUTO_FREE char *h_name = xasprintf("%s.schema.h", g->name);
	AUTO_BUF embedded = BUF_INIT, c = BUF_INIT, h = BUF_INIT, source = BUF_INIT;

	for (size_t i = 0; i < set->n_files; i++)
		if (set->files[i].input)
			buf_printf(&source, "%s%s", source.len > 0 ? ", " : "",
				   set->files[i].name);
	gen_set_embed(set, &embedded);
	gen_schema_c(g->name, buf_cstr(&source), buf_bytes(&embedded), &c);
	gen_schema_h(g->name, buf_cstr(&source), embedded.len, &h);
	if (!put(g, c_name, &c) || !put(g, h_name, &h))
		return CLI_FAILED;
	for (size_t i = 0; i < set->n_files; i++) {
		if (set->files[i].generate && !put_c(g, &set->files[i]))
			return CLI_FAILED;
		if (set->files[i].needed && !set->files[i].generate && !g->conf.quiet)
			fprintf(stderr, "errand: %s is imported: give it too, unless its C "
				"comes from elsewhere\n", set->files[i].name);
	}
	return CLI_OK;
}

static int generate(struct gen *g)
{
	AUTO_BUF bytes = BUF_INIT;
	struct gen_set set;
	int r = read_protos(g, &bytes);

	if (r != CLI_OK)
		return r;
	if (!gen_set_load(&set, buf_bytes(&bytes))) {
		cli_error("%s wrote no descriptor set", g->conf.protoc);
		r = CLI_FAILED;
	}
	if (r == CLI_OK)
		r = mark_inputs(g, &set);
	if (r == CLI_OK)
		r = lint(&set);
	if (r == CLI_OK)
		r = make_c(g, &set);
	if (r == CLI_OK)
		r = put_all(g, &set);
	gen_set_deinit(&set);
	return r;
}

/* "a/my-shop.proto" -> "my_shop" */
static char *schema_name(const char *file)
{
	const char *slash = strrchr(file, '/'), *base = slash != NULL ? slash + 1 : file;
	const char *dot = strrchr(base, '.');
	char *name = xasprintf("%s%.*s", isdigit((unsigned char)*base) ? "_" : "",
			       (int)(dot != NULL ? dot - base : (ptrdiff_t)strlen(base)), base);

	for (char *p = name; *p != '\0'; p++)
		if (!isalnum((unsigned char)*p))
			*p = '_';
	return name;
}

static bool is_identifier(const char *name)
{
	if (!isalpha((unsigned char)*name) && *name != '_')
		return false;
	while (isalnum((unsigned char)*name) || *name == '_')
		name++;
	return *name == '\0';
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	return remove(path);
}

int gen_command(int argc, char **argv)
{
	const char *tmp = getenv("TMPDIR");
	struct gen g = {0};
	int first = cli_parse(options, ARRAY_LEN(options), &g.conf, argc, argv, usage);
	int r = CLI_FAILED;

	if (first == argc) {
		cli_error("gen: no FILE.proto given: see errand gen --help");
		r = CLI_USAGE;
	} else if (g.conf.name != NULL && !is_identifier(g.conf.name)) {
		cli_error("gen: --name: '%s' is not a C identifier", g.conf.name);
		r = CLI_USAGE;
	} else {
		g.files = argv + first;
		g.n_files = argc - first;
		g.name = g.conf.name != NULL ? xstrdup(g.conf.name) : schema_name(g.files[0]);
		g.work = xasprintf("%s/errand-gen.XXXXXX", tmp != NULL && *tmp != '\0' ? tmp : "/tmp");
		if (mkdtemp(g.work) == NULL) {
			cli_error("%s: %s", g.work, strerror(errno));
		} else {
			r = generate(&g);
			nftw(g.work, remove_one, 16, FTW_DEPTH | FTW_PHYS);
		}
	}
	free(g.work);
	free(g.name);
	opt_deinit(options, ARRAY_LEN(options), &g.conf);
	return r;
}
