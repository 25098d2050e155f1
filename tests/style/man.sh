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
# Every function of the public headers is in the synopsis of a page.
for function in $(grep -ohE '\berrand_[a-z_]+\(' include/errand/*.h | tr -d '(' | sort -u); do
	grep -qE "^[^*]*[ *]$function\(" include/errand/*.h || continue
	grep -q "^\.Fn $function \"" man/*.3 || {
		echo "man: include/errand declares $function, no page of man/*.3 has it in its synopsis" >&2
		bad=1
	}
done
# Every state of a task, and every exit status of the command.
for state in $(sed -n '/state_names\[/,/};/s/"//gp' service/task_state.c | grep -oE '\b[A-Z]{4,}\b' | grep -v TASK); do
	grep -q "^\.It $state\$" man/errand-tasks.7 || {
		echo "man: man/errand-tasks.7 has no line for the state $state" >&2
		bad=1
	}
done
for status in $(sed -n '/^enum cli_exit/,/^}/s/.* = \([0-9]*\),.*/\1/p' cli/cli.h); do
	sed -n '/^\.Sh EXIT STATUS/,/^\.Sh [^E]/p' man/errand.1 | grep -q "^\.It $status\$" || {
		echo "man: cli/cli.h has the exit status $status, man/errand.1 has no line for it" >&2
		bad=1
	}
done
exit $bad
