#!/bin/sh
# The tree itself: scripts pass shellcheck, headers stand alone, files stay short,
# nothing is left unfinished in the text.
set -eu
cd "$(dirname "$0")/../.."
bad=0
shellcheck -S warning dev .ci/run tests/fuzz/*.sh tests/style/*.sh || bad=1
shellcheck -S warning -s bash cli/completions/bash/errand || bad=1
for h in $(git ls-files 'lib/*.h' 'gateway/*.h' 'service/*.h' 'cli/*.h' 'include/*.h'); do
	echo "#include \"$h\"" | cc -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -fsyntax-only -x c - \
		-I. -Ilib -Iinclude -I"$BUILDDIR" -I"$BUILDDIR/proto" || { echo "tree: $h does not stand alone" >&2; bad=1; }
done
for f in $(git ls-files '*.c' '*.h'); do
	n=$(wc -l <"$f")
	if [ "$n" -gt 900 ]; then
		echo "tree: $f has $n lines: what is it hiding?" >&2
		bad=1
	fi
done
if git grep -nwE 'TODO|FIXME|XXX' -- '*.c' '*.h' '*.py' '*.am' '*.inc' '*.ac'; then
	echo "tree: unfinished work in the text" >&2
	bad=1
fi
exit $bad
