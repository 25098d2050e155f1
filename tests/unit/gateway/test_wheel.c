/* The wheel that deadlines wait on. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "gateway/wheel.h"

static void test_wheel(void **state)
{
	static struct wheel wheel;
	struct wheel_node n[4];
	struct list due;
	const int64_t now = 1000 * NS_PER_S;

	wheel_init(&wheel, now);
	list_init(&due);
	assert_int_equal(wheel_next(&wheel), -1);
	wheel_add(&wheel, &n[0], now + NS_PER_S);
	wheel_add(&wheel, &n[1], now + 2 * NS_PER_S);
	wheel_add(&wheel, &n[2], now + 100 * NS_PER_S); /* three turns */
	wheel_add(&wheel, &n[3], now - 5);
	assert_in_range(wheel_next(&wheel), now, now + WHEEL_SLOT_NS);
	wheel_expire(&wheel, now + WHEEL_SLOT_NS, &due);
	assert_ptr_equal(list_pop_front(&due), &n[3].link);
	assert_true(list_empty(&due));
	wheel_expire(&wheel, now + NS_PER_S - 1, &due);
	assert_true(list_empty(&due));
	wheel_expire(&wheel, wheel_when(&n[0]), &due);
	assert_ptr_equal(list_pop_front(&due), &n[0].link);
	wheel_remove(&n[1]);
	wheel_expire(&wheel, now + 99 * NS_PER_S, &due);
	assert_true(list_empty(&due));
	wheel_expire(&wheel, now + 200 * NS_PER_S, &due);
	assert_ptr_equal(list_pop_front(&due), &n[2].link);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wheel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
