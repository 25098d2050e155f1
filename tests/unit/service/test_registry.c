/* registry.c: methods found by name, and every way a module can be wrong refused
 * with the name of what is wrong. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "probe_module.h"
#include "service/depends.h"
#include "service/registry.h"

static char why[512];

static int setup(void **state)
{
	why[0] = '\0';
	probe_trace_clear();
	return 0;
}

static int teardown(void **state)
{
	registry_deinit();
	depends_deinit();
	return 0;
}

static int load(const struct errand_module *m)
{
	int r = registry_add(m, why, sizeof why);

	return r < 0 ? r : registry_finish(why, sizeof why);
}

static void refused(const struct errand_module *m, const char *word)
{
	assert_true(load(m) < 0);
	if (strstr(why, word) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", why, word);
}

static void test_lookup(void **state)
{
	const struct method *m;

	assert_int_equal(load(&probe_module), 0);
	m = registry_method("probe.v1.Probe", 14, "Echo", 4);
	assert_non_null(m);
	assert_ptr_equal(m, registry_method_by_name("probe.v1.Probe/Echo"));
	assert_string_equal(m->schema->full_name, "probe.v1.Probe/Echo");
	assert_int_equal(m->run, RUN_ASYNC);
	assert_null(m->needs[0]);
	assert_int_equal(registry_method_by_name("probe.v1.Probe/Work")->run, RUN_SYNC);
	assert_int_equal(registry_method_by_name("probe.v1.Probe/Job")->run, RUN_TASK);
	assert_false(registry_is_builtin(m));
	assert_null(registry_method("probe.v1.Probe", 14, "Ech", 3));
	assert_null(registry_method("probe.v1.Prob", 13, "Echo", 4));
	assert_null(registry_method("probe.v1.Probe/Echo", 19, "", 0));
	m = registry_method_by_name("probe.v1.Probe/Needs");
	assert_string_equal(m->needs[0]->def->name, "base");
	assert_string_equal(m->needs[3]->def->name, "top");
	assert_null(m->needs[4]);
}

static void test_long_name(void **state)
{
	char name[2000];

	assert_int_equal(load(&probe_module), 0);
	memset(name, 'x', sizeof name);
	assert_null(registry_method(name, sizeof name, "Echo", 4));
	assert_null(registry_method("probe.v1.Probe", 14, name, sizeof name));
}

static void test_digest(void **state)
{
	uint8_t want[32];
	struct bytes set;

	assert_int_equal(load(&probe_module), 0);
	set = schema_set(registry_schema());
	EVP_Digest(set.data, set.len, want, NULL, EVP_sha256(), NULL);
	assert_memory_equal(registry_digest(), want, 32);
}

static void test_abi(void **state)
{
	struct errand_module m = probe_module;

	m.abi = 99;
	refused(&m, "ABI 99");
}

static void test_no_descriptor_set(void **state)
{
	struct errand_module m = probe_module;

	m.descriptor_set = NULL;
	refused(&m, "errand gen");
}

static void test_broken_descriptor_set(void **state)
{
	struct errand_module m = probe_module;

	m.descriptor_set_len /= 2;
	assert_true(load(&m) < 0);
	assert_true(strlen(why) > 10);
}

static void test_null_handler(void **state)
{
	static Probe__V1__Probe_Service broken;
	static ProtobufCService *const services[] = {&broken.base, NULL};
	struct errand_module m = probe_module;

	memcpy(&broken, m.services[0], sizeof broken);
	broken.work = NULL;
	m.services = services;
	refused(&m, "probe.v1.Probe/Work has no handler");
}

static void test_twice(void **state)
{
	struct errand_module m = probe_module;

	m.name = "other";
	m.dependencies = NULL;
	m.needs = NULL;
	assert_int_equal(registry_add(&probe_module, why, sizeof why), 0);
	assert_true(registry_add(&m, why, sizeof why) < 0);
	assert_non_null(strstr(why, "probe.v1.Probe"));
	assert_non_null(strstr(why, "module probe"));
}

static void test_misspelt_needs(void **state)
{
	static const char *const top[] = {"top", NULL};
	static const struct errand_method_needs needs[] = {{"probe.v1.Probe/Neds", top}, {0}};
	struct errand_module m = probe_module;

	m.needs = needs;
	refused(&m, "probe.v1.Probe/Neds");
}

static void test_unknown_dependency(void **state)
{
	static const char *const what[] = {"nothing", NULL};
	static const struct errand_method_needs needs[] = {{"probe.v1.Probe/Echo", what}, {0}};
	struct errand_module m = probe_module;

	m.needs = needs;
	refused(&m, "probe.v1.Probe/Echo needs dependency nothing");
}

/* The code was built from a later .proto than the descriptor set. */
static void test_foreign_schema(void **state)
{
	static ProtobufCServiceDescriptor other;
	static Probe__V1__Probe_Service renamed;
	static ProtobufCService *const services[] = {&renamed.base, NULL};
	struct errand_module m = probe_module;

	memcpy(&renamed, m.services[0], sizeof renamed);
	other = *renamed.base.descriptor;
	other.name = "probe.v1.Newer";
	renamed.base.descriptor = &other;
	m.services = services;
	m.needs = NULL;
	refused(&m, "does not describe probe.v1.Newer/Echo");
}

static int refuse_start(void)
{
	probe_note("refused");
	return -1;
}

static void test_start_stop(void **state)
{
	static ProtobufCService *const none[] = {NULL};
	struct errand_module bad = {.abi = ERRAND_MODULE_ABI, .name = "bad", .services = none,
				    .descriptor_set = probe_module.descriptor_set,
				    .descriptor_set_len = probe_module.descriptor_set_len,
				    .start = refuse_start};
	AUTO_FREE char *trace = NULL;

	assert_int_equal(registry_add(&probe_module, why, sizeof why), 0);
	assert_int_equal(load(&bad), 0);
	assert_true(registry_start_modules(why, sizeof why) < 0);
	assert_non_null(strstr(why, "bad"));
	trace = probe_trace();
	assert_string_equal(trace, "module start\nrefused\nmodule stop\n");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_lookup), TEST(test_long_name), TEST(test_digest), TEST(test_abi),
		TEST(test_no_descriptor_set), TEST(test_broken_descriptor_set), TEST(test_null_handler),
		TEST(test_twice), TEST(test_misspelt_needs), TEST(test_unknown_dependency),
		TEST(test_foreign_schema), TEST(test_start_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
