#!/bin/sh
# Man pages: mandoc finds nothing wrong, and every option a program knows has its
# line in its page (the programs' own --help is the list).
set -eu
cd "$(dirname "$0")/../.."
bad=0

# "referenced manual not found" depends on the machine, not on the page.
if mandoc -T lint -W warning man/*.[0-9] | grep -v 'referenced manual not found' | grep .; then
	bad=1
fi
check() { # PROGRAM PAGE
	for option in $("$BUILDDIR/$1" --help 2>&1 | grep -oE -- '--[a-z][a-z-]+' | sort -u); do
		name=${option#--}
		if ! grep -qE "(Fl Fl|Fl -|\\\\-\\\\-)[ ]?$name( |\$)" "$2"; then
			echo "man: $1 knows $option, $2 has no line for it" >&2
			bad=1
		fi
	done
}
check errand-gateway man/errand-gateway.8
check errand-service man/errand-service.8
subs=$("$BUILDDIR/errand" __complete errand '' | cut -f1)
for sub in '' $subs; do
	if [ -n "$sub" ] && ! grep -qE "^\.Ss errand (.* )?$sub( |\$)" man/errand.1; then
		echo "man: errand $sub has no section in man/errand.1" >&2
		bad=1
	fi
	for option in $("$BUILDDIR/errand" $sub --help 2>&1 | grep -oE -- '--[a-z][a-z-]+' | sort -u); do
		name=${option#--}
		grep -qE "(Fl Fl|Fl -)[ ]?$name( |\$)" man/errand.1 || {
			echo "man: errand $sub knows $option, man/errand.1 has no line for it" >&2
			bad=1
		}
	done
done
exit $bad
