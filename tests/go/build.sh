#!/bin/sh
# build.sh DIR: builds DIR/ttrpc_call and DIR/ttrpc_serve from the Go files here, when
# they are not there or older. Exits 77 with a reason where Go or Debian's ttrpc
# package is absent.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
dir=$1
mkdir -p "$dir"
if ! command -v go >/dev/null; then
	echo "skipped: no go on this machine (Debian: apt-get install golang-go)"
	exit 77
fi
GOPATH=${ERRAND_GOPATH:-/usr/share/gocode}
if [ ! -d "$GOPATH/src/github.com/containerd/ttrpc" ]; then
	echo "skipped: no $GOPATH/src/github.com/containerd/ttrpc" \
		"(Debian: apt-get install golang-github-containerd-ttrpc-dev)"
	exit 77
fi
export GOPATH GO111MODULE=off GOFLAGS='' GOTOOLCHAIN=local
if [ -z "${GOCACHE:-}" ] && ! mkdir -p "${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}" 2>/dev/null; then
	GOCACHE=$(mktemp -d "${TMPDIR:-/tmp}/errand-go.XXXXXX")
	export GOCACHE
	trap 'rm -rf "$GOCACHE"' EXIT
fi
for tool in ttrpc_call ttrpc_serve; do
	if [ -z "$(find "$dir" -path "$dir/$tool" -newer "$here/$tool.go")" ]; then
		go build -o "$dir/$tool" "$here/$tool.go"
	fi
done
