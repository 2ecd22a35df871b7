#!/bin/bash
# SPDX-License-Identifier: MIT
# A file that nobody in the tree runs any more is let go by the collector while the tree lives on: its space
# becomes free, its file system can be unmounted.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

# holds: a collector of ours has the deleted file open or mapped.
holds()
{
	local pid
	for pid in $(our_collectors); do
		! readlink "/proc/$pid/fd/"* 2>/dev/null | grep -q "^$TMP/gone" || return 0
		! grep -q " $TMP/gone" "/proc/$pid/maps" 2>/dev/null || return 0
	done
	return 1
}

is_let_go()
{
	have_collectors && ! holds
}

cp "$VICTIMS/steady" "$TMP/gone"
mkfifo "$TMP/end"
# shellcheck disable=SC2016
profiled CPROF_CPU_HZ=250 sh -c '"$1" 3000 & sleep 1; rm "$1"; wait; read -r line <"$2"' sh "$TMP/gone" "$TMP/end" >/dev/null 2>&1 &
tree=$!
expect "it is held while it runs" wait_until 20 holds
expect "it is let go after a while" wait_until 60 is_let_go
expect_profile gone cpu "of the deleted program"
expect_range "its functions have names: samples in main" 100 "$(query "$(profile gone cpu)" has main samples)" 2000
echo >"$TMP/end"
wait $tree || true
expect "settles" settle
expect_all_valid "at the end"
finish
