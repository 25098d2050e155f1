#!/bin/sh
# docs/RELIABILITY.md names the tests that show each line: every one of them exists.
set -eu
cd "$(dirname "$0")/../.."
bad=0

for test in $(grep -oE '\b(e2e|unit|contract|fuzz)/[a-z0-9_/]+(\.py)?' docs/RELIABILITY.md | sort -u); do
	file=$(echo "tests/$test" | sed 's|fuzz/replay_|fuzz/fuzz_|')
	[ -f "$file" ] || [ -f "$file.sh" ] || [ -f "$file.c" ] || [ -d "$file" ] || {
		echo "reliability: there is no tests/$test" >&2
		bad=1
	}
done
# Names in the table's second column: functions of those tests.
for name in $(grep '^|' docs/RELIABILITY.md | cut -d'|' -f4 | grep -oE '`[a-z0-9_]+`' | tr -d '`' | sort -u); do
	grep -rqE --include='*.py' --include='*.c' --include='*.h' --include='*.sh' \
		"\b(test_|fuzz_)?$name\b" tests || {
		echo "reliability: no test is called $name" >&2
		bad=1
	}
done
exit $bad
