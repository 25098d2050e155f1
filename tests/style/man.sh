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
# An option's line is an .It of a list, not a word in a sentence about something else.
has_line() { # OPTION, with the page's lines on stdin
	grep -qE "^\.It .*(Fl Fl|Fl -)[ ]?${1#--}( |\$)"
}
options_of() { # PROGRAM [COMMAND]
	"$BUILDDIR/$1" ${2:+"$2"} --help 2>&1 | sed -nE 's/^ +(-[a-zA-Z], )?(--[a-z][a-z-]+).*/\2/p' | sort -u
}
for program in errand-gateway errand-service; do
	for option in $(options_of $program); do
		has_line "$option" <man/$program.8 || {
			echo "man: $program knows $option, man/$program.8 has no line for it" >&2
			bad=1
		}
	done
done
# Of the command: in a section of it, among what all commands know, or in the one whose options these are.
section() { # COMMAND
	awk -v name="$1" '/^\.S[hs] /{on = /^\.Sh DESCRIPTION/ || (/^\.Ss errand / && index($0 " ", " " name " "))} on' man/errand.1
}
like() {
	case $1 in
	run) echo submit ;;
	tasks | queues | schedules | deliveries | workers) echo list ;;
	purge) echo cancel ;;
	esac
}
subs=$("$BUILDDIR/errand" __complete errand '' | cut -f1)
[ -n "$subs" ] || bad=1
for sub in $subs; do
	if ! grep -qE "^\.Ss errand (.* )?$sub( |\$)" man/errand.1; then
		echo "man: errand $sub has no section in man/errand.1" >&2
		bad=1
	fi
	lines=$(section "$sub"; section "$(like "$sub")")
	for option in $(options_of errand "$sub"); do
		case $option in --help | --version) continue ;; esac # said of all at once
		echo "$lines" | has_line "$option" || {
			echo "man: errand $sub knows $option, its section of man/errand.1 has no line for it" >&2
			bad=1
		}
	done
done
# Every function of the public headers is in the synopsis of a page, in errand(3), and a page of its own name is made.
# (The preprocessor takes the comments away.)
functions=$(cc -E -P -Iinclude -include errand/client.h -include errand/service.h -include errand/test.h -x c /dev/null |
	grep -oE '\berrand_[a-z0-9_]+\(' | tr -d '(' | sort -u)
for function in ${functions:-none}; do
	grep -q "^\.Fn $function " man/errand_*.3 || {
		echo "man: include/errand declares $function, no page of man/*.3 has it in its synopsis" >&2
		bad=1
	}
	grep -qE "^\.Fn $function [,.]" man/errand.3 || {
		echo "man: include/errand declares $function, man/errand.3 does not say which page has it" >&2
		bad=1
	}
	grep -qw "man/$function.3" man/Makefile.inc || {
		echo "man: include/errand declares $function, man/Makefile.inc has no man/$function.3" >&2
		bad=1
	}
done
# Every state of a task; exit statuses of all three programs.
for state in $(sed -n '/state_names\[/,/};/s/"//gp' service/task_state.c | grep -oE '\b[A-Z]{4,}\b' | grep -v TASK); do
	grep -q "^\.It $state\$" man/errand-tasks.7 || {
		echo "man: man/errand-tasks.7 has no line for the state $state" >&2
		bad=1
	}
done
statuses() { # FILE...: what these end with, as numbers
	echo 0
	grep -ohE '\bEX_[A-Z]+\b|\bEXIT_(FAILURE|CONFIG)\b|\b_exit\(71\)' "$@" | sort -u | sed -E '
		s/.*\((.*)\)/\1/; s/EXIT_FAILURE/1/; s/EX(IT)?_CONFIG/78/; s/EX_USAGE/64/; s/EX_DATAERR/65/; s/EX_UNAVAILABLE/69/
		s/EX_SOFTWARE/70/; s/EX_OSERR/71/; s/EX_CANTCREAT/73/; s/EX_IOERR/74/; s/EX_TEMPFAIL/75/'
}
same_statuses() { # PAGE STATUSES: neither lacks one
	in_page=$(sed -n '/^\.Sh EXIT STATUS/,/^\.Sh [^E]/s/^\.It \([0-9]*\)$/\1/p' "$1" | sort -un | paste -sd' ')
	in_code=$(echo "$2" | sort -un | paste -sd' ')
	[ "$in_page" = "$in_code" ] || {
		echo "man: $1 has the exit statuses $in_page, the sources have $in_code" >&2
		bad=1
	}
}
same_statuses man/errand.1 "$(sed -n '/^enum cli_exit/,/^}/s/.* = \([0-9]*\),.*/\1/p' cli/cli.h)"
same_statuses man/errand-gateway.8 "$(statuses gateway/*.c lib/base/*.c)"
same_statuses man/errand-service.8 "$(statuses service/*.c lib/base/*.c)"
exit $bad
