/* Tokens and what they allow: scopes, the file as it is written and read, and files that must not be used. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/grants.h"
#include "base/token.h"
#include "base/util.h"

#define READ SCOPE_BIT(SCOPE_READ)
#define CALL SCOPE_BIT(SCOPE_CALL)
#define OPERATE SCOPE_BIT(SCOPE_OPERATE)
#define TASK SCOPE_BIT(SCOPE_TASK)

/* --- scopes --- */

static void scopes_allow(void **state)
{
	static const struct {
		const char *scopes, *service;
		unsigned wanted;
		bool good;
	} rows[] = {
		{"read", "errand.v1.Tasks", READ, true},
		{"read", "errand.v1.Tasks", CALL, false},
		{"read", "errand.v1.Tasks", OPERATE, false},
		{"read", "shop.v1.Shop", 0, false}, /* a method that says nothing is for call */
		{"call", "shop.v1.Shop", 0, true},
		{"call", "shop.v1.Shop", CALL, true},
		{"call", "errand.v1.Tasks", READ, false},
		{"call", "errand.v1.Tasks", READ | TASK, true},
		{"call", "errand.v1.Tasks", OPERATE, false},
		{"call:shop.v1.Shop", "shop.v1.Shop", 0, true},
		{"call:shop.v1.Shop", "shop.v1.Shops", 0, false},
		{"call:shop.v1.Shop", "shop.v1.Sho", 0, false},
		{"call:shop.v1.Shop", "errand.v1.Queues", OPERATE, false},
		{"call:shop.v1.Shop", "errand.v1.Tasks", READ | TASK, true},
		{"read:shop.v1.Shop", "shop.v1.Shop", READ, true},
		{"read:shop.v1.Shop", "shop.v1.Shop", 0, false},
		{"read:shop.v1.Shop", "errand.v1.Tasks", READ, false},
		{"read:shop.v1.Shop", "", READ, false}, /* /metrics */
		{"operate", "errand.v1.Queues", OPERATE, true},
		{"operate", "errand.v1.Tasks", READ, true},
		{"operate", "shop.v1.Shop", 0, true},
		{"read,call:shop.v1.Shop", "shop.v1.Shop", 0, true},
		{"read call", "shop.v1.Shop", CALL, true},
	};
	char why[256];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct grants g = {0};

		assert_int_equal(grants_parse(&g, rows[i].scopes, why, sizeof why), 0);
		if (grants_allow(&g, rows[i].wanted, rows[i].service) != rows[i].good)
			fail_msg("%s, %s, %x: not %d", rows[i].scopes, rows[i].service, rows[i].wanted, rows[i].good);
		grants_deinit(&g);
	}
}

static void scopes_that_are_none(void **state)
{
	static const char *const bad[] = {
		"", ",", "Read", "reads", "rea", "call:", "call:Shop", "call:.a.b", "call:a/b.c", "operate:a.b.C", "read;call",
		"call:a.b\"", "*", "all",
	};
	struct grants none = {0};
	char why[256];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct grants g = {0};

		if (grants_parse(&g, bad[i], why, sizeof why) == 0)
			fail_msg("%s was taken", bad[i]);
		grants_deinit(&g);
	}
	assert_false(grants_allow(&none, READ | CALL | TASK, "a.b"));
}

/* --- tokens --- */

static void each_is_another(void **state)
{
	char text[64][TOKEN_LEN + 1];
	uint8_t hash[TOKEN_HASH];
	struct token t;

	for (size_t i = 0; i < ARRAY_LEN(text); i++) {
		assert_int_equal(token_make(&t, text[i]), 0);
		assert_int_equal(strlen(text[i]), TOKEN_LEN);
		assert_true(token_is(text[i], TOKEN_LEN));
		token_hash(text[i], TOKEN_LEN, hash);
		assert_true(token_same(hash, t.hash));
		assert_memory_equal(text[i], "erd_", 4);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(text[i], text[j]);
	}
	assert_false(token_is(text[0], TOKEN_LEN - 1));
	text[0][9] = '=';
	assert_false(token_is(text[0], TOKEN_LEN));
	text[1][0] = 'E';
	assert_false(token_is(text[1], TOKEN_LEN));
}

/* FIPS 180-2's vector, and hashes that differ in one bit. */
static void hashes(void **state)
{
	static const uint8_t abc[TOKEN_HASH] = {
		0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
		0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad,
	};
	uint8_t h[TOKEN_HASH];

	token_hash("abc", 3, h);
	assert_memory_equal(h, abc, TOKEN_HASH);
	for (size_t i = 0; i < 8 * TOKEN_HASH; i++) {
		h[i / 8] ^= (uint8_t)(1u << i % 8);
		assert_false(token_same(h, abc));
		h[i / 8] ^= (uint8_t)(1u << i % 8);
	}
	assert_true(token_same(h, abc));
}

/* --- the file --- */

static char dir[] = "/tmp/errand-token-XXXXXX", path[64];

static int make_dir(void **state)
{
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof path, "%s/tokens", dir);
	return 0;
}

static int remove_dir(void **state)
{
	unlink(path);
	return rmdir(dir);
}

static void put_file(const char *text, mode_t mode)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	chmod(path, mode);
}

static void written_is_read(void **state)
{
	struct token items[2];
	struct token_file file = {items, 2}, back;
	char text[TOKEN_LEN + 1], why[512];
	struct stat st;

	for (size_t i = 0; i < 2; i++)
		assert_int_equal(token_make(&items[i], text), 0);
	items[0].name = (char[]){"ci"};
	items[0].scopes = (char[]){"read,call:shop.v1.Shop"};
	items[0].created_s = 1795392000;
	items[0].expires_s = 1803168000;
	items[1].name = (char[]){"a.b_c@d-e"};
	items[1].scopes = (char[]){"operate"};
	items[1].revoked_s = 1;
	assert_int_equal(token_file_write(path, &file), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(token_file_read(path, &back, why, sizeof why), 0);
	assert_int_equal(back.n, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_true(token_same(back.items[i].hash, items[i].hash));
		assert_string_equal(back.items[i].id, items[i].id);
		assert_string_equal(back.items[i].name, items[i].name);
		assert_string_equal(back.items[i].scopes, items[i].scopes);
		assert_int_equal(back.items[i].created_s, items[i].created_s);
		assert_int_equal(back.items[i].expires_s, items[i].expires_s);
		assert_int_equal(back.items[i].revoked_s, items[i].revoked_s);
	}
	token_file_deinit(&back);
	chmod(path, 0640);
	assert_int_equal(token_file_write(path, &file), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640); /* it stays as it was */
}

#define ID "ba7816bf8f01"
#define HASH "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

#define TEN(x) x x x x x x x x x x
#define LONG TEN(TEN("0123456789"))

static void wrong_lines(void **state)
{
	static const struct {
		const char *text, *why; /* NULL: it is right */
	} rows[] = {
		{"# a comment\n\n  \n" ID " " HASH " read - - - ci\n", NULL},
		{ID "\t" HASH "  read,call 2026-11-23T02:00:00Z 2027-02-21T02:00:00Z - ci", NULL},
		{ID " " HASH " read - - - ci more\n", ":1: "},
		{ID " " HASH " read - - -\n", ":1: "},
		{"#\n" ID " " HASH "ff read - - - ci\n", ":2: "},
		{ID " " "ba7816bf8f01" " read - - - ci\n", ":1: "},
		{ID " " HASH " rad - - - ci\n", "rad"},
		{ID " " HASH " read yesterday - - ci\n", "times"},
		{ID " " HASH " read - 2026-11-23 - ci\n", "times"},
		{ID " " HASH " read - - - c\xc3\xa9\n", "name"},
		{"000000000000 " HASH " read - - - ci\n", "id"},
		{ID " " HASH " read - - - ci\n#\n" ID " " HASH " operate - - - other\n", ":3: the token " ID " is there already, as ci"},
		{"# " LONG LONG LONG LONG "\n" ID " " HASH " read - - - ci\n", NULL},
		{"#\n# " LONG LONG LONG LONG LONG ID " " HASH " operate - - - ci\n", ":2: a line is at most"},
	};
	struct token_file f;
	char why[512];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int r;

		put_file(rows[i].text, 0600);
		r = token_file_read(path, &f, why, sizeof why);
		if ((r == 0) != (rows[i].why == NULL))
			fail_msg("%s: %d %s", rows[i].text, r, why);
		if (r != 0 && (strstr(why, rows[i].why) == NULL || strstr(why, path) == NULL))
			fail_msg("%s: %s", rows[i].text, why);
		token_file_deinit(&f);
	}
}

static void a_byte_that_ends_texts(void **state)
{
	static const char line[] = ID " " HASH " read - - - ci\0 more\n";
	struct token_file f;
	char why[512];
	FILE *out = fopen(path, "w");

	assert_non_null(out);
	fwrite(line, 1, sizeof line - 1, out);
	fclose(out);
	chmod(path, 0600);
	assert_true(token_file_read(path, &f, why, sizeof why) < 0);
	assert_non_null(strstr(why, ":1: a line is at most"));
}

/* --- what people have written between the tokens --- */

static char *content(void)
{
	static char all[4096];
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	all[fread(all, 1, sizeof all - 1, f)] = '\0';
	fclose(f);
	return all;
}

#define ID2 "e3b0c44298fc"
#define HASH2 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static void comments_stay(void **state)
{
	static const char before[] = "\n# ours\n\n" ID " " HASH " read - - - ci\n\t# till\r\n  \n" ID2 " " HASH2
				     " call - - - till\n\n# the end";
	struct token_file f;
	char why[512];

	put_file(before, 0600);
	assert_int_equal(token_file_read(path, &f, why, sizeof why), 0);
	assert_int_equal(f.n, 2);
	assert_int_equal(token_file_write(path, &f), 0);
	assert_string_equal(content(), "\n# ours\n\n" ID " " HASH " read - - - ci\n\t# till\r\n  \n" ID2 " " HASH2
			    " call - - - till\n\n# the end\n");
	token_file_remove(&f, 0);
	assert_int_equal(token_file_write(path, &f), 0);
	assert_string_equal(content(), "\n# ours\n\n\t# till\r\n  \n" ID2 " " HASH2 " call - - - till\n\n# the end\n");
	token_file_remove(&f, 0);
	assert_int_equal(f.n, 0);
	assert_int_equal(token_file_write(path, &f), 0);
	assert_string_equal(content(), "\n# ours\n\n\t# till\r\n  \n\n# the end\n");
	token_file_deinit(&f);
}

/* The link stays one, and what it names is written. */
static void a_link(void **state)
{
	struct token_file f;
	char link[80], why[512];
	struct stat st;

	snprintf(link, sizeof link, "%s/link", dir);
	put_file("# ours\n" ID " " HASH " read - - - ci\n", 0640);
	assert_int_equal(symlink(path, link), 0);
	assert_int_equal(token_file_read(link, &f, why, sizeof why), 0);
	token_file_remove(&f, 0);
	assert_int_equal(token_file_write(link, &f), 0);
	assert_string_equal(content(), "# ours\n");
	assert_int_equal(lstat(link, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	unlink(link);
	token_file_deinit(&f);
}

/* Nobody waits for a writer who does not come. */
static void a_fifo(void **state)
{
	struct token_file f;
	char why[512];

	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_true(token_file_read(path, &f, why, sizeof why) < 0);
	assert_non_null(strstr(why, "this is no file"));
	unlink(path);
}

/* Whoever puts a token itself where its id or hash belongs must not find it in the log. */
static void errors_tell_no_secret(void **state)
{
	static const char secret[] = "erd_MNBVCXZlkjhgfdsapoiuytrewq0123456789ABCDEFG";
	static const char *const lines[] = {"%s\n", "%s " HASH " read - - - ci\n", ID " %s read - - - ci\n",
		ID " " HASH " %s - - - ci\n", ID " " HASH " read %s - - ci\n", ID " " HASH " read - - - ci %s\n"};
	struct token_file f;
	char text[512], why[512];

	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(text, sizeof text, lines[i], secret);
#pragma GCC diagnostic pop
		put_file(text, 0600);
		assert_true(token_file_read(path, &f, why, sizeof why) < 0);
		if (strstr(why, secret) != NULL)
			fail_msg("told: %s", why);
	}
}

static void files_of_others(void **state)
{
	struct token_file f;
	char why[512];

	put_file("# none\n", 0644);
	assert_true(token_file_read(path, &f, why, sizeof why) < 0);
	assert_non_null(strstr(why, "chmod"));
	chmod(path, 0602);
	assert_true(token_file_read(path, &f, why, sizeof why) < 0);
	chmod(path, 0640);
	assert_int_equal(token_file_read(path, &f, why, sizeof why), 0);
	token_file_deinit(&f);
	assert_true(token_file_read(dir, &f, why, sizeof why) < 0);
	unlink(path);
	assert_true(token_file_read(path, &f, why, sizeof why) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scopes_allow),
		cmocka_unit_test(scopes_that_are_none),
		cmocka_unit_test(each_is_another),
		cmocka_unit_test(hashes),
		cmocka_unit_test(written_is_read),
		cmocka_unit_test(wrong_lines),
		cmocka_unit_test(a_byte_that_ends_texts),
		cmocka_unit_test(comments_stay),
		cmocka_unit_test(a_link),
		cmocka_unit_test(a_fifo),
		cmocka_unit_test(errors_tell_no_secret),
		cmocka_unit_test(files_of_others),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
