#!/bin/sh
# Units as they would be installed under /usr: systemd takes every line of them, and each leaves little
# open (systemd-analyze security below 1.5). Scripts of other inits: their syntax.
set -eu
cd "$(dirname "$0")/../.."
limit=14 # of tenths
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
bad=0

fail() {
	echo "units: $*" >&2
	bad=1
}

made() { # DIR FILE...: what make makes of FILE.in, for /usr
	to=$tmp/$1
	shift
	mkdir -p "$to"
	for f in "$@"; do
		sed -e "s|@sbindir@|$tmp/sbin|g" -e 's|@sysconfdir@|/etc|g' -e 's|@rundir@|/run|g' \
			-e 's|@localstatedir@|/var|g' "$f" >"$to/$(basename "$f" .in)"
	done
}

made system packaging/systemd/*.service.in packaging/systemd/*.socket.in
made user packaging/systemd/user/*.service.in packaging/systemd/user/*.socket
made scripts packaging/openrc/*.initd.in
mkdir "$tmp/sbin"
for p in errand-service errand-gateway; do
	printf '#!/bin/sh\n' >"$tmp/sbin/$p"
	chmod 755 "$tmp/sbin/$p"
done
grep -rn '@[a-z]*@' "$tmp/system" "$tmp/user" "$tmp/scripts" && fail "a name that make does not know"

# verify says what it does not understand, and exits 0 all the same
verify() { # MODE FILE...
	mode=$1
	shift
	XDG_RUNTIME_DIR=$tmp SYSTEMD_LOG_LEVEL=warning systemd-analyze verify "--$mode" --man=no --recursive-errors=no "$@" \
		>"$tmp/said" 2>&1 || fail "systemd-analyze verify --$mode failed"
	if grep "^$tmp\|^errand" "$tmp/said" >&2; then
		fail "systemd-analyze verify --$mode has something to say"
	fi
}

if command -v systemd-analyze >/dev/null; then
	for u in "$tmp"/system/*@.*; do # a template is looked at as one of its instances
		cp "$u" "$(echo "$u" | sed 's/@\./@one./')"
	done
	verify system "$tmp"/system/*[!@].service "$tmp"/system/*[!@].socket
	verify user "$tmp"/user/*
	for u in "$tmp"/system/*[!@].service; do
		systemd-analyze security --offline=true --threshold=$limit --no-pager "$u" >"$tmp/score" 2>&1 ||
			fail "$(basename "$u"): $(tail -1 "$tmp/score")"
	done
else
	echo "units: no systemd-analyze here: units were not looked at (apt-get install systemd)" >&2
fi

for f in "$tmp"/scripts/* packaging/openwrt/errand.init; do
	sh -n "$f" || bad=1
	shellcheck "$f" || bad=1
done
exit $bad
