#!/bin/bash
# SPDX-License-Identifier: MIT
# What addresses mean is kept from one run to the next, and never spoils a profile.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

cache=$TMP/cache
mkdir "$cache"
export XDG_CACHE_HOME=$cache
cp "$VICTIMS/inlined" "$TMP/inlined"
build_id=$(eu-readelf -n "$TMP/inlined" | sed -n 's/.*Build ID: //p')
kept=$cache/cprof/$build_id.answers

# names WHAT: one run; its heap profile names functions, files and lines as the first one did.
names()
{
	fresh_out
	expect "$1: runs" profiled CPROF_CPU_HZ=0 CPROF_HEAP_RATE=1 "$TMP/inlined" 20
	"$PPROFQ" "$(profile inlined heap)" frames | sort -u >"$TMP/frames"
	[[ -e $TMP/first ]] || cp "$TMP/frames" "$TMP/first"
	expect "$1: the same names" cmp "$TMP/first" "$TMP/frames"
	expect "$1: lines" grep -q "inlined.cc:[0-9]" <(pprof -top -lines "$(profile inlined heap)" 2>/dev/null)
}

names "first run"
expect "main is named" grep -qx main "$TMP/first"
expect_equal "a file that only its owner reads" 600 "$(stat -c %a "$kept")"
names "second run"

# The answers are there when the debug information is gone.
cp "$TMP/inlined" "$TMP/whole"
strip "$TMP/inlined"
names "stripped meanwhile"
cp "$TMP/whole" "$TMP/inlined"

# Damaged, or not to be had: as if there were none.
printf 'cprofSYM, or so' >"$kept"
names "a damaged file"
expect "it is replaced" grep -qa inlined.cc "$kept"
rm "$kept"
mkdir "$kept"
names "a directory in its place"
rmdir "$kept"
XDG_CACHE_HOME=/dev/null/none names "no directory"
expect_equal "nothing is said of it" "" "$(cat "$TMP/stderr" 2>/dev/null || true)"
chmod 777 "$cache/cprof"
names "a directory that anybody may write to"
expect "is not used" test ! -e "$kept"
chmod 700 "$cache/cprof"

# Six collectors at once.
fresh_out
pids=()
for n in 1 2 3 4 5 6; do
	mkdir "$OUT/$n"
	CPROF_OUT=$OUT/$n CPROF_HEAP_RATE=1 CPROF_CPU_HZ=0 LD_PRELOAD=$CPROF_LIB "$TMP/inlined" 20 >/dev/null 2>&1 &
	pids+=($!)
done
for pid in "${pids[@]}"; do expect "one of six ends" wait "$pid"; done
for n in 1 2 3 4 5 6; do
	"$PPROFQ" "$OUT/$n"/inlined.*.heap.pb.gz frames | sort -u >"$TMP/frames"
	expect "$n of six: the same names" cmp "$TMP/first" "$TMP/frames"
done
names "after them"

finish
