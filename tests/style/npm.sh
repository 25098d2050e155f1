#!/bin/sh
# What npm installs is locked by content, not by address: every package of a lock has
# its integrity and none says which registry it once came from.
set -eu
cd "$(dirname "$0")/../.."
bad=0

for lock in $(git ls-files '*package-lock.json'); do
	if grep -nE '"resolved"|https?:' "$lock"; then
		echo "npm: $lock names an address: npm install --omit-lockfile-registry-resolved" >&2
		bad=1
	fi
	grep -qx 'omit-lockfile-registry-resolved=true' "$(dirname "$lock")/.npmrc" || {
		echo "npm: $(dirname "$lock")/.npmrc must omit resolved addresses" >&2
		bad=1
	}
	packages=$(grep -cE '^    "node_modules/' "$lock" || true)
	hashes=$(grep -c '"integrity": "sha512-' "$lock" || true)
	[ "$packages" -eq "$hashes" ] || {
		echo "npm: $lock has $packages packages, but $hashes with a SHA-512" >&2
		bad=1
	}
done
for project in $(git ls-files '*package.json'); do
	[ -f "${project%.json}-lock.json" ] || { echo "npm: $project has no lock" >&2; bad=1; }
done
exit $bad
