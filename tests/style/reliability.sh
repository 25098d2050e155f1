#!/bin/sh
# docs/RELIABILITY.md names the tests that show each line: every one of them exists, a
# function in the very file it is named after, and no line of the list is missing.
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
# `name` after a file, in the same or a later cell up to the next file, is in it.
if ! awk '
	function find(name, command) {
		if (files == "")
			return
		command = "grep -qE \"\\\\b(test_|fuzz_)?" name "\\\\b\" " files
		if (system(command) != 0) {
			print "reliability: no test " name " in " files > "/dev/stderr"
			wrong = 1
		}
	}
	function path(word) {
		if (word ~ /^fuzz/)
			sub(/replay_/, "fuzz_", word)
		word = "tests/" word
		if (word ~ /\.(py|sh|c)$/)
			return word
		return system("[ -f " word ".c ]") == 0 ? word ".c" : word ".sh"
	}
	/^\|/ {
		files = ""
		n = split($0, cell, "|")
		rest = cell[4]
		while (match(rest, /(e2e|unit|contract|fuzz)\/[a-z0-9_\/]+(\.py)?|, test_[a-z0-9_]+|`[a-z0-9_]+`/)) {
			word = substr(rest, RSTART, RLENGTH)
			rest = substr(rest, RSTART + RLENGTH)
			if (word ~ /^`/)
				find(substr(word, 2, length(word) - 2))
			else if (word ~ /^, /) # a second file of the same folder
				files = files " " folder "/" substr(word, 3) ".c"
			else {
				files = path(word)
				folder = files
				sub(/\/[^\/]*$/, "", folder)
			}
		}
	}
	END { exit wrong }' docs/RELIABILITY.md; then
	bad=1
fi
# Each number is in the first column of a table, alone or in a list.
numbers=$(grep '^| *[0-9]' docs/RELIABILITY.md | cut -d'|' -f2 | tr -d ' ' | tr ',' '\n')
for n in $(seq 1 13) $(seq 17 36) $(seq 38 66) $(seq 68 78) 37 67 89; do
	echo "$numbers" | grep -qx "$n" || {
		echo "reliability: line $n is nowhere" >&2
		bad=1
	}
done
exit $bad
