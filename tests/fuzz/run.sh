#!/usr/bin/env bash
# run.sh BUILDDIR SECONDS: every target of tests/fuzz for that long, two at a time, and a
# table of what came of it. The corpora grow in BUILDDIR/corpus; inputs that crashed are
# kept in BUILDDIR/findings. Exit status 1 when there are any. Called by ./dev fuzz.
set -euo pipefail
srcdir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$1"
seconds=$2
mkdir -p findings logs

# The targets are those the Makefile has.
targets=$(printf 'include Makefile\nprint-targets: ; @echo $(fuzz_programs)\n' |
	make -s -f - print-targets)

# One target: its seeds are read, what it finds out is written to its own corpus.
fuzz_one() {
	local program=$1 name=${1##*/fuzz_} seeds=()
	mkdir -p "corpus/$name"
	[ -d "$srcdir/corpus/$name" ] && seeds=("$srcdir/corpus/$name")
	"./$program" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 \
		-print_final_stats=1 -artifact_prefix="findings/$name-" \
		"corpus/$name" "${seeds[@]}" >"logs/$name.log" 2>&1 && echo 0 || echo $?
}

# The number libFuzzer gives at its end under this name, or -.
stat_of() {
	local n
	n=$(sed -n "s/^stat::$2: *//p" "logs/$1.log" | tail -1)
	echo "${n:--}"
}

report() {
	local name status found=0 n
	printf '%-16s %12s %9s %8s  %s\n' target executions exec/s new findings
	for program in $targets; do
		name=${program##*/fuzz_}
		status=$(cat "logs/$name.status")
		n=$(find findings -type f -name "$name-*" -newer logs/begun | wc -l)
		[ "$status" -eq 0 ] || [ "$n" -gt 0 ] || n="ended $status, see logs/$name.log"
		[ "$n" = 0 ] || found=1
		printf '%-16s %12s %9s %8s  %s\n' "$name" "$(stat_of "$name" number_of_executed_units)" \
			"$(stat_of "$name" average_exec_per_sec)" "$(stat_of "$name" new_units_added)" "$n"
	done
	return $found
}

touch logs/begun
for program in $targets; do
	while [ "$(jobs -rp | wc -l)" -ge 2 ]; do wait -n || true; done
	fuzz_one "$program" >"logs/${program##*/fuzz_}.status" &
done
wait
if ! report; then
	cat <<TEXT

The inputs are in $PWD/findings, named after their target; what happened is in
$PWD/logs. Run one again: ./fuzz_NAME FILE in $PWD/tests/fuzz.
When it is fixed, keep the input: git add it as tests/fuzz/corpus/NAME/what-it-is.
TEXT
	exit 1
fi
