#!/bin/bash
# SPDX-License-Identifier: MIT
#
# libcprof.so puts itself before every other library: a symbol too many would replace
# somebody else's, one too few would not be interposed.  So what it exports must be
# exactly the list in preload/exports.list, with the symbol version that is given there
# or none, and it may need nothing but libc.
#
#     tools/check_exports.sh BUILD/libcprof.so
set -euo pipefail
library=$(realpath "$1")
cd "$(dirname "$0")/.."

listed=$(sed -E 's/#.*//; s/[[:space:]]+//g; /^$/d' preload/exports.list | sort -u)
exported=$(nm -D --defined-only "$library" | awk '$2 != "A" { print $3 }' | sort -u)
failed=0

if grep -q '[*?]' <<<"$listed"; then
	echo "preload/exports.list: each symbol must be named: $(grep '[*?]' <<<"$listed" | tr '\n' ' ')"
	failed=1
fi
while read -r symbol; do
	[[ -n $symbol ]] || continue
	echo "exported but not in preload/exports.list: $symbol"
	failed=1
done < <(comm -13 <(echo "$listed") <(echo "$exported"))
while read -r symbol; do
	[[ -n $symbol ]] || continue
	echo "in preload/exports.list but not exported: $symbol"
	failed=1
done < <(comm -23 <(echo "$listed") <(echo "$exported"))

needed=$(readelf -d "$library" | sed -nE 's/.*\(NEEDED\).*\[(.*)\]/\1/p' | tr '\n' ' ')
if [[ $needed != "libc.so.6 " ]]; then
	echo "needs '$needed' instead of libc.so.6 alone"
	failed=1
fi
if readelf -d "$library" | grep -qE 'TEXTREL|RPATH|RUNPATH'; then
	echo "has text relocations or a search path of its own"
	failed=1
fi
exit $failed
