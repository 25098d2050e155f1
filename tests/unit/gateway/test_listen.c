/* Where to listen: what --listen says, who can reach it, what is missing then. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "gateway/listen.h"

static int read_one(struct listen_set *set, const char *text, char *why, size_t size)
{
	return listen_read(set, &(struct opt_list){(const char *[]){text, NULL}, 1}, why, size);
}

static void test_forms(void **state)
{
	static const struct {
		const char *text, *address;
		enum listen_kind kind;
		bool tls, open;
		mode_t mode;
	} cases[] = {
		{"127.0.0.1:80", "127.0.0.1:80", LISTEN_TCP, false, false, 0},
		{"tls:127.0.0.1:443", "127.0.0.1:443", LISTEN_TCP, true, false, 0},
		{"localhost:80", "localhost:80", LISTEN_TCP, false, false, 0},
		{"[::1]:80", "[::1]:80", LISTEN_TCP, false, false, 0},
		{"[::ffff:127.0.0.1]:80", "[::ffff:127.0.0.1]:80", LISTEN_TCP, false, false, 0},
		{"tls:[::]:443", "[::]:443", LISTEN_TCP, true, true, 0},
		{"0.0.0.0:80", "0.0.0.0:80", LISTEN_TCP, false, true, 0},
		{"*:80", "*:80", LISTEN_TCP, false, true, 0},
		{":80", ":80", LISTEN_TCP, false, true, 0},
		{"10.1.2.3:80", "10.1.2.3:80", LISTEN_TCP, false, true, 0},
		{"128.0.0.1:80", "128.0.0.1:80", LISTEN_TCP, false, true, 0},
		{"unix:/run/x", "/run/x", LISTEN_UNIX, false, false, 0660},
		{"/run/x", "/run/x", LISTEN_UNIX, false, false, 0660},
		{"unix:/run/x,mode=0600", "/run/x", LISTEN_UNIX, false, false, 0600},
		{"unix:/run/x,group=0,mode=666", "/run/x", LISTEN_UNIX, false, false, 0666},
	};
	struct listen_set set;
	char why[512] = "";

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(read_one(&set, cases[i].text, why, sizeof why), 0);
		assert_int_equal(set.n, 1);
		assert_string_equal(set.items[0].text, cases[i].text);
		assert_string_equal(set.items[0].address, cases[i].address);
		assert_int_equal(set.items[0].kind, cases[i].kind);
		assert_int_equal(set.items[0].tls, cases[i].tls);
		assert_int_equal(listen_has_tls(&set), cases[i].tls);
		assert_int_equal(listen_is_open(&set.items[0]), cases[i].open);
		if (cases[i].kind == LISTEN_UNIX)
			assert_int_equal(set.items[0].mode, cases[i].mode);
		listen_deinit_set(&set);
	}
}

/* What it has been bound to counts, once it is: a name may have been nobody's when it was looked at. */
static void test_bound(void **state)
{
	static const struct {
		const char *name;
		bool open;
	} cases[] = {{"127.0.0.1:80", false}, {"[::1]:80", false}, {"0.0.0.0:80", true}, {"[::]:80", true}, {"10.1.2.3:80", true}};
	struct listen_set set;
	char why[1024] = "";

	assert_int_equal(read_one(&set, "nobody.invalid:80", why, sizeof why), 0);
	assert_int_equal(listen_check(&set, false, false, why, sizeof why), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		snprintf(set.items[0].name, sizeof set.items[0].name, "%s", cases[i].name);
		assert_int_equal(listen_is_open(&set.items[0]), cases[i].open);
		assert_int_equal(listen_check(&set, false, false, why, sizeof why) < 0, cases[i].open);
	}
	listen_deinit_set(&set);
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
		"unix:x", "unix:", "unix:/x,mode=0888", "unix:/x,mode=", "unix:/x,mode=0060", "unix:/x,mode=01777",
		"unix:/x,group=", "unix:/x,group=-1", "unix:/x,user=x", "unix:/x,", "tls:unix:/x", "tls:/x",
		"systemd:x", "systemd:",
	};
	struct listen_set set;
	char why[512];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		*why = '\0';
		assert_int_equal(read_one(&set, bad[i], why, sizeof why), -1);
		assert_memory_equal(why, bad[i], strlen(bad[i])); /* names what it is about */
		listen_deinit_set(&set);
	}
}

static void test_many(void **state)
{
	const char *texts[LISTEN_MAX + 2] = {NULL};
	struct opt_list list = {texts, LISTEN_MAX}, hosts;
	struct listen_set set;
	char why[512];

	for (size_t i = 0; i <= LISTEN_MAX; i++)
		texts[i] = i % 2 == 0 ? "127.0.0.1:0" : "unix:/run/x";
	assert_int_equal(listen_read(&set, &list, why, sizeof why), 0);
	hosts = listen_hosts(&set);
	assert_int_equal(hosts.n, LISTEN_MAX / 2);
	free(hosts.items);
	listen_deinit_set(&set);
	list.n++;
	assert_int_equal(listen_read(&set, &list, why, sizeof why), -1);
	listen_deinit_set(&set);
	list.n = 0;
	assert_int_equal(listen_read(&set, &list, why, sizeof why), 0);
	assert_string_equal(set.items[0].address, LISTEN_DEFAULT);
	listen_deinit_set(&set);
}

/* A table of what --listen, tokens and client certificates allow together. */
static void test_check(void **state)
{
	static const struct {
		const char *text;
		bool tokens, certs;
		const char *lacks, *has; /* words of the refusal; NULL: allowed; one it must not have */
	} cases[] = {
		{"127.0.0.1:1", false, false, NULL, NULL},
		{"unix:/run/x", false, false, NULL, NULL},
		{"0.0.0.0:1", false, false, "authentication", NULL},
		{"0.0.0.0:1", true, false, "lacks TLS", "authentication"},
		{"0.0.0.0:1", false, true, "authentication", NULL}, /* a plain one asks for no certificate */
		{"0.0.0.0:1", true, true, "lacks TLS", "authentication"},
		{"tls:0.0.0.0:1", false, false, "lacks authentication", "tls:0.0.0.0:1, --tls-cert"},
		{"tls:0.0.0.0:1", true, false, NULL, NULL},
		{"tls:0.0.0.0:1", false, true, NULL, NULL},
	};
	struct listen_set set;
	char why[768];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int r;

		assert_int_equal(read_one(&set, cases[i].text, why, sizeof why), 0);
		*why = '\0';
		r = listen_check(&set, cases[i].tokens, cases[i].certs, why, sizeof why);
		assert_int_equal(r, cases[i].lacks != NULL ? -1 : 0);
		assert_true(cases[i].lacks == NULL || strstr(why, cases[i].lacks) != NULL);
		assert_true(cases[i].has == NULL || strstr(why, cases[i].has) == NULL);
		listen_deinit_set(&set);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_check),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
