/* test_command_path.c: paths against a real file system: links, kinds, and files that are
 * whole or not there. */
#define _GNU_SOURCE
#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "service/command_path.h"
#include "tests/unit/service/command_rig.h"

static char top[] = "/tmp/errand-path-XXXXXX";

static char *at(const char *name)
{
	static char path[4][256];
	static unsigned n;

	n = (n + 1) % 4;
	snprintf(path[n], sizeof path[n], "%s/%s", top, name);
	return path[n];
}

static void make_file(const char *path)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs("content", f);
	fclose(f);
}

/* top: in/{file,dir/,deep/file,fifo}, in/out -> ../outside, in/inner -> deep, in/lost -> nowhere, in/one -> file,
 * in/bad -> ../outside/secret; outside/secret; alias -> in. */
static int setup(void **state)
{
	if (mkdtemp(top) == NULL)
		return -1;
	mkdir(at("in"), 0755);
	mkdir(at("in/dir"), 0755);
	mkdir(at("in/deep"), 0755);
	mkdir(at("outside"), 0755);
	make_file(at("in/file"));
	make_file(at("in/deep/file"));
	make_file(at("outside/secret"));
	return mkfifo(at("in/fifo"), 0600) | symlink("../outside", at("in/out")) | symlink("deep", at("in/inner")) |
	       symlink("nowhere", at("in/lost")) | symlink("file", at("in/one")) |
	       symlink("../outside/secret", at("in/bad")) | symlink("in", at("alias"));
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *walk)
{
	return remove(path);
}

static int teardown(void **state)
{
	return nftw(top, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

struct given {
	struct command_rig rig;
	struct command_input in;
	struct command_targets targets;
	struct fault_list faults;
	struct buf wire;
};

static void give(struct given *g, const char *words, const char *dirs, const char *path)
{
	AUTO_FREE char *section = xasprintf("param.p = path required %s in=%s\ncommand = true {p}\n", words, dirs);
	AUTO_FREE char *json = xasprintf("{\"p\": \"%s\"}", path);

	*g = (struct given){0};
	rig_open(&g->rig, section);
	rig_wire(&g->rig, json, &g->wire);
	command_input_read(&g->in, g->rig.spec, g->rig.method->input, buf_bytes(&g->wire));
	command_paths_check(&g->in, &g->faults);
	if (g->faults.n == 0)
		assert_int_equal(command_paths_resolve(&g->in, "unique", &g->targets, &g->faults), 0);
}

static void given_free(struct given *g)
{
	command_targets_deinit(&g->targets);
	command_input_deinit(&g->in);
	fault_list_deinit(&g->faults);
	buf_deinit(&g->wire);
	rig_close(&g->rig);
}

/* resolved below top, or NULL and the rule. */
static void check(const char *words, const char *path, const char *resolved, const char *rule)
{
	struct given g;

	give(&g, words, at("in"), path);
	if (resolved != NULL) {
		assert_int_equal(g.faults.n, 0);
		assert_string_equal(g.in.values[0].items[0].data, at(resolved));
	} else {
		assert_int_equal(g.faults.n, 1);
		assert_string_equal(g.faults.items[0].rule, rule);
		assert_string_equal(g.faults.items[0].where, "#/p");
	}
	given_free(&g);
}

static void test_file(void **state)
{
	check("must=file", "file", "in/file", NULL);
	check("must=file", at("in/file"), "in/file", NULL);
	check("must=file", "inner/file", "in/deep/file", NULL);
	check("must=file", "one", "in/file", NULL);
	check("must=file", "dir/../file", "in/file", NULL);
	check("must=file", "dir", NULL, "path.file");
	check("must=file", "fifo", NULL, "path.file");
	check("must=file", "absent", NULL, "path.exists");
	check("must=file", "file/x", NULL, "path.exists");
	check("must=file", "lost", NULL, "path.exists");
	check("must=file", "bad", NULL, "path.inside");
	check("must=file", "out/secret", NULL, "path.inside");
	check("must=file", at("outside/secret"), NULL, "path.inside");
	check("must=file", "/proc/self/" "root/etc/passwd", NULL, "path.inside");
}

static void test_dir(void **state)
{
	check("must=dir", "dir", "in/dir", NULL);
	check("must=dir", ".", "in", NULL);
	check("must=dir", "inner", "in/deep", NULL);
	check("must=dir", "file", NULL, "path.dir");
	check("must=dir", "out", NULL, "path.inside");
}

static void test_new(void **state)
{
	check("must=new", "x.mp4", "in/x.mp4", NULL);
	check("must=new", "file", "in/file", NULL);
	check("must=new", "inner/x", "in/deep/x", NULL);
	check("must=new", "out/x", NULL, "path.inside");
	check("must=new", "lost", NULL, "path.new");
	check("must=new", "one", NULL, "path.new");
	check("must=new", "bad", NULL, "path.new");
	check("must=new", "dir", NULL, "path.new");
	check("must=new", "fifo", NULL, "path.new");
	check("must=new", "absent/x", NULL, "path.exists");
	check("must=new", "file/x", NULL, "path.exists");
}

static void test_any(void **state)
{
	check("", "file", "in/file", NULL);
	check("", "fifo", "in/fifo", NULL);
	check("", "absent", "in/absent", NULL);
	check("", "inner/absent", "in/deep/absent", NULL);
	check("", "lost", NULL, "path.new");
	check("", "bad", NULL, "path.inside");
	check("", "out/absent", NULL, "path.inside");
}

/* in= named by a link: paths may be written by that name, too. */
static void test_alias(void **state)
{
	struct given g;

	give(&g, "must=file", at("alias"), at("alias/file"));
	assert_int_equal(g.faults.n, 0);
	assert_string_equal(g.in.values[0].items[0].data, at("in/file"));
	given_free(&g);
	give(&g, "must=file", at("alias"), at("in/file"));
	assert_int_equal(g.faults.n, 0);
	given_free(&g);
}

static bool is_there(const char *name)
{
	return access(at(name), F_OK) == 0;
}

static void test_atomic_kept(void **state)
{
	const char *which;
	struct given g;

	make_file(at("in/.errand-unique-0.mp4")); /* of an attempt that was killed */
	give(&g, "must=new atomic", at("in"), "movie.mp4");
	assert_string_equal(g.in.values[0].items[0].data, at("in/.errand-unique-0.mp4"));
	assert_false(is_there("in/.errand-unique-0.mp4"));
	make_file(g.in.values[0].items[0].data);
	assert_int_equal(command_targets_keep(&g.targets, &which), 0);
	assert_true(is_there("in/movie.mp4"));
	given_free(&g);
	assert_true(is_there("in/movie.mp4"));
	assert_false(is_there("in/.errand-unique-0.mp4"));
	unlink(at("in/movie.mp4"));
}

static void test_atomic_lost(void **state)
{
	struct given g;

	give(&g, "must=new atomic", at("in"), "movie.mp4");
	make_file(g.in.values[0].items[0].data);
	given_free(&g);
	assert_false(is_there("in/movie.mp4"));
	assert_false(is_there("in/.errand-unique-0.mp4"));
}

/* The program may have left nothing, or something else. */
static void test_atomic_refused(void **state)
{
	const char *which;
	struct given g;

	give(&g, "must=new atomic", at("in"), "movie");
	assert_int_equal(command_targets_keep(&g.targets, &which), -ENOENT);
	assert_string_equal(which, "movie");
	assert_int_equal(symlink("../outside/secret", g.in.values[0].items[0].data), 0);
	assert_int_equal(command_targets_keep(&g.targets, &which), -ELOOP);
	given_free(&g);
	assert_true(is_there("outside/secret"));
	assert_false(is_there("in/movie"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_dir),
		cmocka_unit_test(test_new),
		cmocka_unit_test(test_any),
		cmocka_unit_test(test_alias),
		cmocka_unit_test(test_atomic_kept),
		cmocka_unit_test(test_atomic_lost),
		cmocka_unit_test(test_atomic_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
