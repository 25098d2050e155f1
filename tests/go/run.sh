#!/bin/sh
# run.sh: containerd's Go client against our conn, our client against its server, and
# both against errand-service. Run by `make check` in the build directory, where
# tests/unit/wire/wire_server and wire_call, the service and the example are built.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$PWD
"$here/build.sh" "$build/tests/go"
dir=$(mktemp -d "${TMPDIR:-/tmp}/errand-go.XXXXXX")
service=''
trap 'exec 3>&- 4>&-; [ -z "$service" ] || kill "$service"; wait; rm -rf "$dir"' EXIT
failed=0

# expect WHAT WANT COMMAND...: standard output must be WANT.
expect() {
	what=$1 want=$2
	shift 2
	got=$("$@" 2>&1) || true
	if [ "$got" = "$want" ]; then
		echo "ok: $what"
	else
		printf 'FAILED: %s\nwanted: %.500s\ngot:    %.500s\n' "$what" "$want" "$got"
		failed=1
	fi
}
hex() { printf %s "$1" | od -An -v -tx1 | tr -d ' \n'; }
# serve NAME COMMAND...: starts a server that says "ready" and ends with its stdin.
serve() {
	name=$1
	shift
	mkfifo "$dir/$name.in" "$dir/$name.out"
	"$@" <"$dir/$name.in" >"$dir/$name.out" 2>"$dir/$name.err" &
}
nl='
'

# --- Go client, our server ---

serve ours tests/unit/wire/wire_server "$dir/ours"
exec 3>"$dir/ours.in"
read -r _ <"$dir/ours.out"
go() { "$build/tests/go/ttrpc_call" "$@"; }
peer=test.v1.Peer
expect 'Go calls Echo' "code=0 message=${nl}$(hex 'hello')" go "$dir/ours" $peer Echo "$(hex hello)"
expect 'Go gets an empty answer' "code=0 message=" go "$dir/ours" $peer Echo
expect 'Go gets an error with details' \
	"code=5 message=no such thing${nl}${nl}detail type.googleapis.com/errand.v1.Problem $(hex PROBLEM)" \
	go "$dir/ours" $peer Fail
expect 'Go calls what is not there' "code=12 message=no such method" go "$dir/ours" $peer None
expect 'Go sends a deadline and metadata' \
	"code=0 message=${nl}$(hex 'timeout k=v')" go -timeout 9s -meta k=v "$dir/ours" $peer Show
expect 'Go sees no metadata of an answer' \
	"code=0 message=${nl}$(hex accept)" go -meta errand-task=accept "$dir/ours" $peer Task
expect 'Go makes 500 calls at once' \
	"code=0 message=${nl}$(hex same)" go -n 500 "$dir/ours" $peer Echo "$(hex same)"
expect 'Go gets no answer and its deadline' \
	"no answer: context deadline exceeded" go -timeout 100ms "$dir/ours" $peer Silent
big=$(head -c 50000 /dev/zero | tr '\0' x)
expect 'Go gets 50 kB back' "code=0 message=${nl}$(hex "$big")" go "$dir/ours" $peer Echo "$(hex "$big")"

# --- our client, Go server ---

serve theirs "$build/tests/go/ttrpc_serve" "$dir/theirs"
exec 4>"$dir/theirs.in"
read -r _ <"$dir/theirs.out"
c() { tests/unit/wire/wire_call "$@"; }
for plain in '' --plain; do # Hello is refused; Hello is not said
	# shellcheck disable=SC2086
	{
		expect "C calls Echo $plain" "code=0 message=${nl}$(hex hello)" \
			c $plain "$dir/theirs" test.v1.Go Echo "$(hex hello)"
		expect "C gets an error with details $plain" \
			"code=5 message=no such thing${nl}${nl}problem $(hex PROBLEM)" \
			c $plain "$dir/theirs" test.v1.Go Fail
		expect "C calls what is not there $plain" "code=12" \
			sh -c "tests/unit/wire/wire_call $plain '$dir/theirs' test.v1.Go None | grep -o '^code=12'"
		expect "C sends a deadline and metadata $plain" \
			"code=0 message=${nl}$(hex 'deadline=true k=v')" \
			c $plain --timeout-ms 9000 --meta k=v "$dir/theirs" test.v1.Go Show
		expect "C is answered at its deadline or gives up $plain" "4" \
			sh -c "tests/unit/wire/wire_call $plain --timeout-ms 100 '$dir/theirs' test.v1.Go Slow |
				sed -n 's/^code=\(4\) .*/\1/p'"
	}
done
expect 'C and our server' "code=0 message=${nl}$(hex hi)" c "$dir/ours" $peer Echo "$(hex hi)"
expect 'C streams from our server' \
	"message $(hex cc)${nl}message $(hex bb)${nl}code=0 message=" \
	c --stream "$dir/ours" $peer Count "$(hex '2 2')"

# --- both, the real service ---

./errand-service --socket "$dir/real" --module "$build/.libs/article.so" --store memory \
	--state "$dir" 2>"$dir/service.log" &
service=$!
n=0
until [ -S "$dir/real" ]; do
	n=$((n + 1))
	if [ $n -gt 200 ] || ! kill -0 "$service"; then
		cat "$dir/service.log"
		exit 1
	fi
	sleep 0.05
done
# same WHAT SERVICE METHOD [HEX]: Go's answer is ours.
same() {
	what=$1
	shift
	expect "$what" "$(c --plain "$dir/real" "$@")" go "$dir/real" "$@"
	expect "$what, after Hello" "$(c "$dir/real" "$@")" go "$dir/real" "$@"
}
article=article.v1.Article
expect 'GetItem, 100 at once' "code=0 message=${nl}0801120ce7a4bae4be8be59586e59381199a99999999f95840" \
	go -n 100 "$dir/real" $article GetItem 0801
same 'GetItem' $article GetItem 0801
same 'a method that is not there' $article None
same 'a service that is not there' article.v1.None GetItem
same 'a payload that is none' $article GetItem ffff
same 'a task that is not there' errand.v1.Tasks GetTask 0a023131
same 'the schema' errand.v1.Schema Get
expect 'Go has a deadline shorter than the method' 4 \
	sh -c "'$build/tests/go/ttrpc_call' -timeout 200ms '$dir/real' $article GetItem 0801 |
		sed -n 's/^code=\([0-9]*\) .*/\1/p; s/^no answer: context deadline exceeded/4/p'"
exit $failed
