#!/bin/sh
# The client printed in docs/PROTOCOL.md works, and its hexadecimal examples are what
# the conn writes (wire_server takes the first one).
set -eu
if ! command -v python3 >/dev/null; then
	echo "skipped: no python3 on this machine"
	exit 77
fi
doc=${srcdir:-.}/docs/PROTOCOL.md
dir=$(mktemp -d "${TMPDIR:-/tmp}/errand-doc.XXXXXX")
trap 'exec 3>&-; wait; rm -rf "$dir"' EXIT
sed -n '/^```python$/,/^```$/p' "$doc" | sed '1d;$d' >"$dir/client.py"
mkfifo "$dir/in" "$dir/out"
tests/unit/wire/wire_server "$dir/socket" <"$dir/in" >"$dir/out" &
exec 3>"$dir/in"
read -r _ <"$dir/out"
check() { # METHOD HEX WANT
	got=$(python3 "$dir/client.py" "$dir/socket" test.v1.Peer "$1" "$2")
	[ "$got" = "$3" ] || { printf '%s: wanted "%s", got "%s"\n' "$1" "$3" "$got"; exit 1; }
}
nl='
'
check Echo 6869 "code=0 message=${nl}6869"
check Echo '' 'code=0 message='
check Fail '' 'code=5 message=no such thing'
check None '' 'code=12 message=no such method'
check Echo "$(head -c 20000 /dev/zero | od -An -v -tx1 | tr -d ' \n')" \
	"code=0 message=${nl}$(head -c 20000 /dev/zero | od -An -v -tx1 | tr -d ' \n')"

# The frames of "A call in hexadecimal": lengths and bytes as they are printed.
python3 - "$doc" <<'END'
import re, struct, sys
text = open(sys.argv[1]).read().split("## A call in hexadecimal")[1].split("## A client")[0]
n = 0
for block in re.findall(r"(?:^    .*\n)+", text, re.M):
    data = b"".join(bytes.fromhex(re.split("   +", line.strip())[0])
                    for line in block.splitlines())
    while data:
        length, stream, kind, flags = struct.unpack(">IIBB", data[:10])
        assert len(data) >= 10 + length, block
        data, n = data[10 + length:], n + 1
assert n == 6, n
END
echo "ok"
