#!/bin/sh
# docs/ARCHITECTURE.md has a room for each file ("Where a line of code lives"): its name
# is there below its folder, or the tail of it as _tail, for a file named like another.
set -eu
cd "$(dirname "$0")/../.."
git ls-files 'lib/*.[ch]' 'gateway/*.[ch]' 'service/*.[ch]' 'cli/*.[ch]' | awk '
	FILENAME != "-" {
		if (/^## /)
			on = /Where a line of code lives/
		if (on && /^    [a-z]/)
			folder = $1
		line = $0
		while (on && folder && match(line, /[a-z0-9_]+/)) {
			known[folder substr(line, RSTART, RLENGTH)] = 1
			line = substr(line, RSTART + RLENGTH)
		}
		next
	}
	{
		file = $0
		sub(/\.[ch]$/, "", file)
		folder = name = file
		sub(/[^\/]*$/, "", folder)
		sub(/.*\//, "", name)
		found = known[folder name] || name ~ /_(private|impl|engine)$/
		for (i = 2; i < length(name) && !found; i++)
			if (substr(name, i, 1) == "_")
				found = known[folder substr(name, i)]
		if (!found) {
			print "map: docs/ARCHITECTURE.md has no room for " $0 > "/dev/stderr"
			bad = 1
		}
	}
	END { exit bad }' docs/ARCHITECTURE.md -
