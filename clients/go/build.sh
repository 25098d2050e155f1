#!/bin/sh
# build.sh DIR: builds the examples, DIR/submit and DIR/words. Exits 77 with a reason where
# Go or Debian's ttrpc package is absent.
set -eu
cd "$(dirname "$0")"
case $1 in /*) dir=$1 ;; *) dir=$PWD/$1 ;; esac
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
for program in submit words; do
	(cd $program && go build -o "$dir/$program" .)
done
