#!/bin/sh
# The libraries' ABI against the newest release (a tag vX.Y.Z): nothing that a program was
# built against may have gone or changed. `abi.sh OLD NEW` compares two directories with
# libraries; without them the release is built in BUILDDIR/abi.
set -eu

# abidiff's status: 1 and 2 are errors, 4 a change (a layout's as well), 8 a name that is gone. What only came is none.
compare() { # OLD NEW, directories
	bad=0
	for lib in liberrand liberrand-service; do
		status=0
		abidiff --no-added-syms "$1/$lib.so" "$2/$lib.so" >"$2/$lib.abidiff" 2>&1 || status=$?
		if [ $status -ne 0 ]; then
			cat "$2/$lib.abidiff" >&2
			echo "abi: $lib does not replace the released one: undo that, or raise its -version-info" >&2
			bad=1
		fi
	done
	return $bad
}

if [ $# -eq 2 ]; then
	compare "$1" "$2"
	exit
fi
cd "$(dirname "$0")/../.."
tag=$(git tag --list 'v[0-9]*' --sort=-version:refname | head -n 1)
if [ -z "$tag" ]; then
	echo "abi: there is no release (a tag vX.Y.Z) to compare with yet"
	exit 0
fi
command -v abidiff >/dev/null || { echo "abi: abidiff is missing (Debian: apt-get install abigail-tools)" >&2; exit 1; }
old=$BUILDDIR/abi/$tag
if [ ! -e "$old/done" ]; then
	rm -rf "$old"
	mkdir -p "$old/source" "$old/build"
	git archive "$tag" | tar -x -C "$old/source"
	(cd "$old/source" && autoreconf -fi && cd ../build && ../source/configure -q CFLAGS='-O2 -g' &&
		make -s liberrand.la liberrand-service.la) >"$old/log" 2>&1 ||
		{ tail -20 "$old/log" >&2; echo "abi: $tag does not build" >&2; exit 1; }
	touch "$old/done"
fi
compare "$old/build/.libs" "$BUILDDIR/.libs"
