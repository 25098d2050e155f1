#!/bin/sh
# program.sh EFFECTS [NAME ATTEMPT SECONDS]: the program of the crash matrix, as a command and under
# `errand worker` (which says the rest on stdin and in the environment). Writes that it ran, and
# leaves a daemon behind every second time.
input=$(cat)
name=${2:-$(printf %s "$input" | sed 's/.*"name": *"\([^"]*\)".*/\1/')}
seconds=${4:-$(printf %s "$input" | sed 's/.*"seconds": *\([0-9.]*\).*/\1/')}
echo "$name ${3:-$ERRAND_ATTEMPT}" >>"$1"
case $name in *[02468]) setsid sleep 300 </dev/null >/dev/null 2>&1 & ;; esac
sleep "$seconds"
echo '{"ok":true}'
