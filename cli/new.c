/* new.c: `errand new`: a project that builds at once. Its files are those of cli/new,
 * which are in this program; @name@ and its other spellings are filled in. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "cli/cli.h"

#define NAME_MAX_LEN 40

struct new_conf {
	bool quiet;
};

static const struct opt options[] = {
	{"quiet", 'q', OPT_FLAG, offsetof(struct new_conf, quiet), NULL, 0, 0, NULL,
	 "do not say what to type next"},
};

static const char usage[] =
	"errand new [options] [DIR/]NAME\n\n"
	"Makes the directory NAME with a service in C: NAME.proto, NAME.c, its test, a Makefile\n"
	"and a README. NAME: lower-case letters and digits, words joined by _.";

/* The files as they are, each with a NUL behind it. */
#define TEMPLATE(symbol, file) \
	extern const char symbol[]; \
	__asm__(".section .rodata\n.balign 1\n" #symbol ":\n.incbin \"" TEMPLATES "/" file \
		"\"\n.byte 0\n.previous\n")

TEMPLATE(new_template_proto, "service.proto");
TEMPLATE(new_template_c, "service.c.in");
TEMPLATE(new_template_test, "test.c.in");
TEMPLATE(new_template_makefile, "Makefile");
TEMPLATE(new_template_readme, "README.md");
TEMPLATE(new_template_gitignore, "gitignore");

static const struct template {
	const char *name, *text; /* both with @...@ */
} templates[] = {
	{"@name@.proto", new_template_proto},
	{"@name@.c", new_template_c},
	{"test_@name@.c", new_template_test},
	{"Makefile", new_template_makefile},
	{"README.md", new_template_readme},
	{".gitignore", new_template_gitignore},
};

/* --- names --- */

static bool is_taken(const char *name)
{
	static const char *const taken[] = {
		"auto", "break", "buf", "case", "char", "const", "continue", "default", "do", "double",
		"else", "enum", "errand", "extern", "float", "for", "goto", "google", "if", "inline", "int",
		"long", "register", "restrict", "return", "short", "signed", "sizeof", "static", "struct",
		"switch", "typedef", "union", "unsigned", "void", "volatile", "while",
	};

	for (size_t i = 0; i < ARRAY_LEN(taken); i++)
		if (strcmp(taken[i], name) == 0)
			return true;
	return false;
}

/* It becomes a package of proto, a prefix of C functions and a file's name: protobuf-c
 * writes my_shop, MyShop and MY_SHOP, and has to come back from each to the others. */
static const char *name_fault(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > NAME_MAX_LEN)
		return "it must have 1 to 40 characters";
	if (is_taken(name))
		return "it is a word of C, or a package that is taken";
	for (size_t i = 0; i < len; i++) {
		char c = name[i], before = i > 0 ? name[i - 1] : '_';

		if (c >= 'a' && c <= 'z')
			continue;
		if (c >= '0' && c <= '9' && before != '_')
			continue;
		if (c == '_' && before != '_' && i + 1 < len)
			continue;
		return i == 0 || before == '_'
		       ? "each of its words must begin with a lower-case letter"
		       : "only lower-case letters, digits and single _ between words can be in it";
	}
	return NULL;
}

static bool check_name(const char *name)
{
	const char *fault = name_fault(name);

	if (fault != NULL)
		cli_error("new: \"%s\" is no name for a service: %s (good: shop, my_shop, shop2)", name, fault);
	return fault == NULL;
}

/* --- filling in --- */

static void put_camel(struct buf *out, const char *name)
{
	for (const char *p = name; *p != '\0'; p++) {
		bool first = p == name || p[-1] == '_';

		if (*p != '_')
			buf_append_byte(out, (uint8_t)(first && *p >= 'a' && *p <= 'z' ? *p - 'a' + 'A' : *p));
	}
}

static void put_upper(struct buf *out, const char *name)
{
	for (const char *p = name; *p != '\0'; p++)
		buf_append_byte(out, (uint8_t)(*p >= 'a' && *p <= 'z' ? *p - 'a' + 'A' : *p));
}

static bool is_word(const char *p, size_t len, const char *word)
{
	return len == strlen(word) && memcmp(p, word, len) == 0;
}

static void put_word(struct buf *out, const char *word, size_t len, const char *name)
{
	if (is_word(word, len, "name")) {
		buf_append_str(out, name);
	} else if (is_word(word, len, "Name")) {
		put_camel(out, name);
	} else if (is_word(word, len, "NAME")) {
		put_upper(out, name);
	} else if (is_word(word, len, "Prefix")) {
		put_camel(out, name);
		buf_append_str(out, "__V1");
	} else if (is_word(word, len, "PREFIX")) {
		put_upper(out, name);
		buf_append_str(out, "__V1");
	}
}

/* make's $@ has no second @ before a space or the line's end. */
static void fill(struct buf *out, const char *text, const char *name)
{
	for (const char *p = text; *p != '\0'; p++) {
		size_t len = *p == '@' ? strspn(p + 1, "NAMEPRFIXnamerefix") : 0;

		if (len == 0 || p[len + 1] != '@') {
			buf_append_byte(out, (uint8_t)*p);
			continue;
		}
		put_word(out, p + 1, len, name);
		p += len + 1;
	}
}

/* --- files --- */

static bool write_file(const char *path, const struct buf *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	ssize_t n = fd >= 0 ? write(fd, text->data, text->len) : -1;

	if (fd < 0 || n != (ssize_t)text->len || close(fd) < 0) {
		cli_error("new: %s: %s", path, strerror(errno));
		return false;
	}
	return true;
}

static bool make_file(const char *dir, const struct template *t, const char *name)
{
	AUTO_BUF file = BUF_INIT;
	AUTO_BUF text = BUF_INIT;
	AUTO_FREE char *path = NULL;

	fill(&file, t->name, name);
	fill(&text, t->text, name);
	path = xasprintf("%s/%s", dir, buf_cstr(&file));
	return write_file(path, &text);
}

/* Made here, so that nothing of anybody else's is in it. */
static bool make_folder(const char *dir)
{
	if (mkdir(dir, 0777) == 0)
		return true;
	if (errno == EEXIST)
		cli_error("new: %s is there already: choose another name, or remove it", dir);
	else
		cli_error("new: cannot make %s: %s", dir, strerror(errno));
	return false;
}

int new_command(int argc, char **argv)
{
	struct new_conf conf;
	int first = cli_parse(options, ARRAY_LEN(options), &conf, argc, argv, usage);
	const char *dir = argv[first], *name;

	if (first + 1 != argc) {
		cli_error("new: one NAME is needed, as in: errand new shop");
		return CLI_USAGE;
	}
	name = strrchr(dir, '/') != NULL ? strrchr(dir, '/') + 1 : dir;
	if (!check_name(name))
		return CLI_USAGE;
	if (!make_folder(dir))
		return CLI_FAILED;
	for (size_t i = 0; i < ARRAY_LEN(templates); i++)
		if (!make_file(dir, &templates[i], name))
			return CLI_FAILED;
	if (!conf.quiet)
		printf("%s is a service with four methods. Next:\n\n"
		       "    cd %s\n    make\n    make test\n    errand dev .\n", dir, dir);
	return CLI_OK;
}
