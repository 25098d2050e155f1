/* test_model.c: random operations against the engine's own moves, over a store of each
 * kind, and against the model of TASKS.md (model.h): after each the states, counts, attempts
 * and events are the same, and both stores hold the same bytes. A sequence that fails is
 * cut down to the operations it needs, and printed.
 *
 * ERRAND_SEQUENCES=5000 for the long form; ERRAND_SEED=N begins at another sequence. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "model_rig.h"

#define N_SEQUENCES 250
#define N_OPS 60
#define START_US 1800000000000000LL

static const char *const kind_names[] = {
	"create", "claim", "end", "event", "cancel", "hold", "release", "run_now", "retry",
	"delete", "patch", "advance", "jump", "crash",
};
/* How often each comes. */
static const uint8_t weights[N_KINDS] = {22, 18, 16, 4, 5, 5, 5, 4, 5, 2, 5, 14, 3, 2};

static uint64_t random_state;

static uint32_t next_random(void)
{
	random_state += 0x9e3779b97f4a7c15u; /* splitmix64 */
	uint64_t z = random_state;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (uint32_t)(z >> 32);
}

static struct op random_op(void)
{
	uint32_t total = 0, at;
	struct op op = {.a = next_random(), .b = next_random()};

	for (int i = 0; i < N_KINDS; i++)
		total += weights[i];
	at = next_random() % total;
	for (op.kind = 0; at >= weights[op.kind]; op.kind++)
		at -= weights[op.kind];
	return op;
}

/* True when nothing is wrong. All of it in one transaction, which is undone. */
static bool play(const struct op *ops, size_t n)
{
	rig.wrong[0] = 0;
	clock_set_fake(START_US * 1000, START_US);
	model_init(&rig.model, START_US, START_US, &rig_retry);
	for (size_t i = 0; i < ARRAY_LEN(rig.sides); i++)
		assert_int_equal(rig.sides[i].ops->begin(rig.sides[i].s), 0);
	for (size_t i = 0; i < n && rig.wrong[0] == 0; i++) {
		rig_do(ops[i]);
		rig_compare(&rig.sides[0]);
		if (i % 16 == 15 || i + 1 == n)
			rig_compare_stores();
	}
	for (size_t i = 0; i < ARRAY_LEN(rig.sides); i++) {
		task_changes_deinit(&rig.sides[i].changes);
		rig.sides[i].ops->rollback(rig.sides[i].s);
	}
	return rig.wrong[0] == 0;
}

/* Leaves out what the failure does not need. */
static size_t shrink(struct op *ops, size_t n)
{
	struct op fewer[N_OPS];
	bool again = true;

	while (again) {
		again = false;
		for (size_t i = 0; i < n; i++) {
			memcpy(fewer, ops, i * sizeof *ops);
			memcpy(fewer + i, ops + i + 1, (n - i - 1) * sizeof *ops);
			if (play(fewer, n - 1))
				continue;
			memcpy(ops, fewer, --n * sizeof *ops);
			again = true;
			i--;
		}
	}
	return n;
}

static void tell(const struct op *ops, size_t n, unsigned long seed)
{
	play(ops, n);
	print_error("sequence %lu: %s\n", seed, rig.wrong);
	for (size_t i = 0; i < n; i++)
		print_error("  %s a=%u b=%u\n", kind_names[ops[i].kind], ops[i].a, ops[i].b);
	fail();
}

static unsigned long number_of(const char *name, unsigned long otherwise)
{
	const char *text = getenv(name);

	return text != NULL ? strtoul(text, NULL, 10) : otherwise;
}

static void engine_and_model_agree(void **state)
{
	unsigned long seed = number_of("ERRAND_SEED", 1);
	unsigned long last = seed + number_of("ERRAND_SEQUENCES", N_SEQUENCES);

	for (; seed < last; seed++) {
		struct op ops[N_OPS];

		random_state = seed * 0x2545f4914f6cdd1du;
		for (size_t i = 0; i < N_OPS; i++)
			ops[i] = random_op();
		if (!play(ops, N_OPS))
			tell(ops, shrink(ops, N_OPS), seed);
	}
}

static int setup(void **state)
{
	char why[256] = "", path[] = "/tmp/errand-model-XXXXXX", file[64];

	if (mkdtemp(path) == NULL)
		return -1;
	snprintf(file, sizeof file, "%s/model.db", path);
	rig.sides[0].ops = &store_memory;
	rig.sides[1].ops = &store_sqlite;
	*state = strdup(path);
	for (size_t i = 0; i < ARRAY_LEN(rig.sides); i++)
		if (rig.sides[i].ops->open(file, &rig.sides[i].s, why, sizeof why) < 0) {
			print_error("%s\n", why);
			return -1;
		}
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	for (size_t i = 0; i < ARRAY_LEN(rig.sides); i++)
		rig.sides[i].ops->close(rig.sides[i].s);
	clock_set_fake(-1, 0);
	snprintf(command, sizeof command, "rm -rf '%s'", (char *)*state);
	free(*state);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(engine_and_model_agree, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
