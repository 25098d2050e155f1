#!/bin/sh
# Settings: packaging/errand.conf.in and the lists of man/errand.conf.5 are what the daemons' own
# tables say. `settings.sh --write` makes them so.
set -eu
cd "$(dirname "$0")/../.."
write=${1:-}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
bad=0
export ERRAND_SERVICE_CONFIG=none ERRAND_GATEWAY_CONFIG=none

describe() { "$BUILDDIR/errand-$1" --describe "$2"; }

# The part of FILE between the marks of NAME replaced by what comes on stdin.
replace() { # FILE NAME
	cat >"$tmp/part"
	awk -v name="$2" -v part="$tmp/part" '
		$0 == ".\\\" end " name { skip = 0 }
		!skip { print }
		$0 == ".\\\" begin " name { skip = 1; while ((getline line < part) > 0) print line }
	' "$1"
}

compare() { # FILE NEW
	cmp -s "$1" "$2" && return
	if [ "$write" = --write ]; then
		cat "$2" >"$1"
		echo "settings: wrote $1"
		return
	fi
	echo "settings: $1 is not what the tables say: run BUILDDIR=... tests/style/settings.sh --write" >&2
	diff "$1" "$2" | head -20 >&2
	bad=1
}

{
	sed -n '1,/^$/p' packaging/errand.conf.in
	describe gateway conf
	echo
	describe service conf
} >"$tmp/errand.conf.in"
compare packaging/errand.conf.in "$tmp/errand.conf.in"

describe gateway mdoc | replace man/errand.conf.5 gateway >"$tmp/1"
describe service mdoc | replace "$tmp/1" service >"$tmp/errand.conf.5"
compare man/errand.conf.5 "$tmp/errand.conf.5"
exit $bad
