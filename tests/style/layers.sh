#!/bin/sh
# Who may know whom (docs/ARCHITECTURE.md, Layers): an include of a folder at the
# same level or above fails.
set -eu
cd "$(dirname "$0")/../.."
bad=0

# refuse FOLDER PATTERN: no file of FOLDER includes something that matches.
refuse() {
	if grep -rnE --include='*.[ch]' "#include \"($2)/" "$1"; then
		echo "layers: $1 must not include $2" >&2
		bad=1
	fi
}
refuse lib/base 'wire|schema|gateway|service|cli|errand/client|errand/service'
refuse lib/wire 'schema|gateway|service|cli'
refuse lib/schema 'wire|gateway|service|cli'
refuse gateway 'service|cli'
refuse service 'gateway|cli'
refuse cli 'gateway|service'
refuse examples 'base|wire|schema|gateway|service|cli'

# Third-party headers behind one file each (STYLE.md 7).
only() {
	if grep -rlE --include='*.[ch]' "#include <$1" lib gateway service cli | grep -vE "^($2)$"; then
		echo "layers: only $2 may include <$1>" >&2
		bad=1
	fi
}
only 'sqlite3.h' 'service/store_sqlite[a-z_]*\.[ch]'
only 'event2/http' 'gateway/http[a-z_]*\.[ch]'
only 'zlib' 'gateway/gzip\.c'
only 'pcre2' 'lib/schema/regex\.c'
only 'openssl' '(lib/base/token\.c|service/(registry|fingerprint|hook_sign)\.c|gateway/tls_(context|link|private)\.[ch])'
only 'curl/' 'cli/carrier_curl\.c|service/hook_curl\.c'
only 'libsmartcols' 'cli/[a-z_]*\.c'
exit $bad
