#!/bin/sh
# errand gen: small .proto files in, C out; the C is compiled and run.
set -u
srcdir=$(cd "${srcdir:-.}" && pwd)
builddir=$(pwd)
gen="$builddir/errand gen"
work=$(mktemp -d "${TMPDIR:-/tmp}/errand-test-gen.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failed=0

fail() {
	echo "FAIL: $*"
	failed=1
}
status() { # STATUS COMMAND...
	want=$1
	shift
	"$@" >out 2>err
	got=$?
	[ $got -eq "$want" ] || fail "status $got, not $want: $* ($(cat err))"
}
says() {
	grep -qF -- "$1" err || fail "stderr does not say '$1' but: $(cat err)"
}

# --- proto3 optional, imports that only options need, well-known types ---
mkdir -p in/sub
cat >in/sub/common.proto <<'P'
syntax = "proto3";
package shop;
message Money { int64 cents = 1; }
P
cat >in/my-shop.proto <<'P'
// */ evil comment /* ??/
syntax = "proto3";
package shop;
import "errand/v1/options.proto";
import "google/api/annotations.proto";
import "google/protobuf/descriptor.proto";
import "google/protobuf/timestamp.proto";
import "sub/common.proto";
extend google.protobuf.FieldOptions { string unit = 50001; }
// An order */ of somebody
message Order {
  optional string note = 1 [(unit) = "words"];
  optional int32 n = 2;
  Money price = 3;
  google.protobuf.Timestamp at = 4;
  map<string, int32> stock = 5;
  message register { int32 default = 1; }
  register inner = 6;
}
service Shop {
  rpc Place(Order) returns (Order) {
    option (google.api.http) = {post: "/orders", body: "*"};
    option (errand.v1.method) = {run: TASK};
  }
}
P
status 0 $gen -I in -I "$srcdir/proto" --out made in/my-shop.proto in/sub/common.proto
[ "$(sort out | tr '\n' ' ')" = "made/google/protobuf/timestamp.pb-c.c made/google/protobuf/timestamp.pb-c.h made/my-shop.pb-c.c made/my-shop.pb-c.h made/my_shop.schema.c made/my_shop.schema.h made/sub/common.pb-c.c made/sub/common.pb-c.h " ] ||
	fail "files: $(cat out)"
[ -z "$(cat err)" ] || fail "stderr: $(cat err)"
if grep -rqE 'google/api|errand/v1|descriptor\.pb-c' made/*.h; then
	fail "an import that only options need is included"
fi
cat >main.c <<'C'
#include <stdio.h>
#include <string.h>
#include "my-shop.pb-c.h"
#include "my_shop.schema.h"
static void my_place(Shop__Shop_Service *s, const Shop__Order *in, Shop__Order_Closure done, void *a)
{
	(void)s;
	done(in, a);
}
static void show(const Shop__Order *o, void *a)
{
	(void)a;
	printf("%s %d %d\n", o->note, o->_n_case, (int)o->price->cents);
}
int main(void)
{
	Shop__Shop_Service s = SHOP__SHOP__INIT(my_);
	Shop__Order o = SHOP__ORDER__INIT, *back;
	Shop__Money m = SHOP__MONEY__INIT;
	uint8_t wire[64];
	size_t len;
	FILE *f = fopen("set.pb", "wb");

	o._note_case = SHOP__ORDER___NOTE_NOTE;
	o.note = (char *)"";
	m.cents = 7;
	o.price = &m;
	len = shop__order__pack(&o, wire);
	back = shop__order__unpack(NULL, len, wire);
	if (back == NULL || back->_note_case != SHOP__ORDER___NOTE_NOTE)
		return 1; /* presence of an empty optional string is lost */
	my_place(&s, back, show, NULL);
	shop__order__free_unpacked(back, NULL);
	fwrite(my_shop_schema, 1, my_shop_schema_len, f);
	return fclose(f);
}
C
${CC:-cc} -std=c11 -Wall -Imade -o main main.c made/*.c made/sub/*.c made/google/protobuf/*.c \
	-lprotobuf-c 2>err || fail "does not compile: $(cat err)"
[ "$(./main)" = " 0 7" ] || fail "says: $(./main)"
# The embedded set is whole: protoc reads it, with comments and options.
protoc --decode=google.protobuf.FileDescriptorSet google/protobuf/descriptor.proto <set.pb >set.txt ||
	fail "not a descriptor set"
for part in 'proto3_optional: true' 'name: "google/api/http.proto"' 'An order' 'name: "sub/common.proto"' \
	'72295728 {' '51717 {'; do
	grep -qF "$part" set.txt || fail "the embedded set lacks: $part"
done
${CC:-cc} -std=c11 -Wall -Wextra -Wpedantic -Werror -Imade -c -o /dev/null made/my_shop.schema.c ||
	fail "the schema's C has warnings"

# --- what has not changed is not touched ---
touch -d @1000000000 made/*.[ch]
status 0 $gen --quiet -I in -I "$srcdir/proto" --out made in/my-shop.proto in/sub/common.proto
[ -z "$(cat out)" ] || fail "--quiet prints: $(cat out)"
[ -z "$(find made -maxdepth 1 -name '*.[ch]' -newermt @1000000000)" ] || fail "unchanged files were written"
sed -i 's/of somebody/of somebody else/' in/my-shop.proto
status 0 $gen --quiet -I in -I "$srcdir/proto" --out made in/my-shop.proto in/sub/common.proto
[ "$(stat -c %Y made/my_shop.schema.c)" != 1000000000 ] || fail "a changed file was not written"
[ "$(stat -c %Y made/my-shop.pb-c.c)" = 1000000000 ] || fail "an unchanged file was written"

# --- a file anywhere, without -I ---
mkdir -p else && cat >else/plain.proto <<'P'
syntax = "proto3";
message Alone { string a = 1; }
P
status 0 $gen -o abs "$work/else/plain.proto"
[ -f abs/plain.pb-c.h ] && [ -f abs/plain.schema.c ] || fail "absolute path: $(cat out)"
status 0 $gen -o rel --name other_name else/plain.proto
[ -f rel/else/plain.pb-c.h ] && [ -f rel/other_name.schema.h ] || fail "relative path: $(cat out)"

# --- the lint: each bad name with its place ---
cat >bad.proto <<'P'
syntax = "proto3";
package bad;
message M { repeated int32 a = 1; int32 n_a = 2; string base = 3; string linux = 4; }
message Foo_Bar {}
message FooBar {}
message K { string register = 1; string int = 2; string new = 3; }
service S {
  rpc Do(M) returns (M);
  rpc Register(M) returns (M);
  rpc Init(M) returns (M);
  rpc New(M) returns (M);
  rpc GetX(M) returns (M);
  rpc getX(M) returns (M);
}
P
status 65 $gen -o badout bad.proto
for line in "bad.proto:3:35: field n_a" "bad.proto:3:50: field base" "bad.proto:3:67: field linux" \
	"bad.proto:5:1: message FooBar" "bad.proto:8:3: method S.Do:" "bad.proto:9:3: method S.Register:" \
	"bad.proto:10:3: method S.Init:" "bad.proto:13:3: method getX" "8 names cannot become C"; do
	says "$line"
done
[ ! -e badout ] || fail "files were written in spite of the lint"

# --- errors ---
echo 'syntax = "proto3"; message {' >broken.proto
status 65 $gen -o x broken.proto
says "broken.proto:1:"
status 65 $gen -o x missing.proto
says "missing.proto"
status 69 $gen -o x --protoc no-such-protoc else/plain.proto
says "apt-get install protobuf-compiler"
status 69 $gen -o x --protoc-gen-c no-such-plugin else/plain.proto
says "apt-get install protobuf-c-compiler"
status 64 $gen
status 64 $gen --name 1x else/plain.proto
status 64 $gen --nonsense
echo plain >file
status 1 $gen -o file else/plain.proto
says "file"
[ -z "$(find "${TMPDIR:-/tmp}" -maxdepth 1 -name 'errand-gen.*' -newer in/my-shop.proto -user "$(id -u)" 2>/dev/null)" ] ||
	echo "note: a temporary folder of a gen is there (another build may be running)"

[ $failed -eq 0 ] && echo "PASSED"
exit $failed
