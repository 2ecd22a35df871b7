#!/bin/bash
# SPDX-License-Identifier: MIT
# Libraries that come, go, are replaced by others at the same addresses, or lose their files.
set -euo pipefail
source "$(dirname "$0")/lib.sh"
steady_cpu

for n in 1 2 3; do # same code, so the same size and place; told apart by the paths and build ids
	gcc -O2 -g -D_GNU_SOURCE -fPIC -shared -fno-optimize-sibling-calls -Wl,--build-id="0x$(printf "0$n%.0s" {1..20})" "-Dplugin_static_part=static_part_of_$n" \
		"$HERE/victims/libplugin.c" -o "$TMP/libplugin$n.so"
done

run() { profiled CPROF_CPU_HZ=250 CPROF_HEAP_RATE=1 "$VICTIMS/dlopen_host" "$@" >"$TMP/log" 2>"$TMP/err"; }

# plugins_seen WHAT N...: these plugins, by what they export.
plugins_seen()
{
	local cpu heap n
	expect_profile dlopen_host cpu "$1"
	expect_profile dlopen_host heap "$1"
	cpu=$(profile dlopen_host cpu) heap=$(profile dlopen_host heap)
	for n in "${@:2}"; do
		expect "$1: plugin $n is mapped" grep -q "libplugin$n.so" <("$PPROFQ" "$cpu" mappings)
	done
	expect_equal "$1: all of the time below main" "$(query "$cpu" has plugin_work samples)" \
		"$(query "$cpu" stacks samples | grep 'plugin_work.*;use.*;main' | awk '{ s += $1 } END { print s + 0 }')"
	expect_equal "$1: allocations of the plugins" \
		"$((10 * ($# - 1))) $((7000 * ($# - 1))) $((6 * ($# - 1))) $((4200 * ($# - 1)))" \
		"$(for t in alloc_objects alloc_space inuse_objects inuse_space; do query "$heap" has plugin_allocates $t; done | xargs)"
}

# plugins_seen_whole WHAT N...: each also by a function that only its file names.
plugins_seen_whole()
{
	local n
	plugins_seen "$@"
	for n in "${@:2}"; do
		if ((${#STEADY[@]})); then
			expect_range "$1: time in plugin $n" 20 \
				"$(query "$(profile dlopen_host cpu)" has "static_part_of_$n" samples)" 80
		fi
	done
}

expect "one, unloaded: runs" run 200 "$TMP/libplugin1.so"
plugins_seen_whole "one, unloaded" 1
fresh_out
expect "three, one after the other: runs" run 200 "$TMP/libplugin1.so" "$TMP/libplugin2.so" "$TMP/libplugin3.so"
expect_equal "the last one is gone" "still loaded 0" "$(<"$TMP/log")"
plugins_seen_whole "three, one after the other" 1 2 3
fresh_out
expect "again and again: runs" run 100 "$TMP/libplugin1.so" "$TMP/libplugin1.so"
expect_equal "again and again: one mapping" 1 "$(query "$(profile dlopen_host cpu)" mappings | grep -c libplugin1 || true)"
expect_range "again and again: time in it" 30 "$(query "$(profile dlopen_host cpu)" has static_part_of_1 samples)" 80

# Gone before the collector has seen it: what is exported is in the memory of the process.
fresh_out
mkdir -p "$TMP/lost"
cp "$TMP/libplugin2.so" "$TMP/libplugin3.so" "$TMP/lost"
expect "deleted before it is used: runs" run 200 delete "$TMP/lost/libplugin2.so" "$TMP/lost/libplugin3.so"
plugins_seen "deleted before it is used" 2 3

# Gone after that: all of it is known, for a collector that may not look at mappings either.
# collector_holds FILE: it has opened it.
collector_holds()
{
	local pid
	for pid in $(our_workers); do
		if [[ -n $(find "/proc/$pid/fd" -lname "$1" 2>/dev/null) ]]; then return 0; fi
	done
	return 1
}

fresh_out
cp "$TMP/libplugin2.so" "$TMP/libplugin3.so" "$TMP/lost"
run 200 lose "$TMP/lost/libplugin2.so" "$TMP/lost/libplugin3.so" &
shell_pid=$!
for n in 2 3; do
	wait_until 60 grep -q "using .*libplugin$n" "$TMP/log" || fail "lost while in use: plugin $n is used"
	wait_until 60 collector_holds "$TMP/lost/libplugin$n.so" || fail "lost while in use: the collector opens plugin $n"
	rm "$TMP/lost/libplugin$n.so"
done
expect "lost while in use: runs" wait "$shell_pid"
plugins_seen_whole "lost while in use" 2 3

# The executable itself is replaced while it runs: not the new one's names.
fresh_out
cp "$VICTIMS/steady" "$TMP/changing"
mkfifo "$TMP/hold"
profiled CPROF_CPU_HZ=250 "$TMP/changing" 300 0 wait >"$TMP/log" 2>&1 <"$TMP/hold" &
shell_pid=$!
exec 9>"$TMP/hold"
wait_until 10 grep -q ready "$TMP/log"
rm "$TMP/changing"
cp /bin/true "$TMP/changing"
exec 9>&-
expect "replaced: runs to its end" wait "$shell_pid"
expect_range "replaced: time in its own function" 1 "$(query "$(profile changing cpu)" has steady_work samples)" 100
finish
