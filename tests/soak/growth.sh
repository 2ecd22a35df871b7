#!/bin/bash
# SPDX-License-Identifier: MIT
# A day's worth of events in a minute: the program's segment stays within CPROF_MEM, the collector's
# memory below a bound that depends on CPROF_MEM alone, and the sums stay right when tables are full.
set -euo pipefail
source "$(dirname "$0")/../integration/lib.sh"
source "$HERE/hostile.sh"

# grows NAME MEM_MB COMMAND...: the largest resident size of a collector process while it runs.
grows()
{
	local name=$1 mem=$2 most=0 size pid shell_pid file
	shift 2
	fresh_out
	(LIMIT=300 bounded env LD_PRELOAD="$CPROF_LIB" CPROF_OUT="$OUT" CPROF_MEM="${mem}M" "${EVERYTHING[@]}" "$@" >"$TMP/seen.out" 2>"$TMP/seen.err") &
	shell_pid=$!
	while kill -0 $shell_pid 2>/dev/null || ! no_collectors; do
		for pid in $(our_collectors); do
			size=$(awk '/^Rss(Anon|File):/ { kb += $2 } END { print kb + 0 }' "/proc/$pid/status" 2>/dev/null || echo 0)
			((size <= most)) || most=$size
		done
		sleep 0.2
	done
	wait $shell_pid || fail "$name: exit status $?"
	# Its own code and the symbols it read, and a few times what the tables can hold.
	expect_range "$name: the collector's largest size in MB, CPROF_MEM ${mem}M" 1 $((most / 1024)) $((200 + 4 * mem))
	expect_all_valid "$name"
	for file in "$OUT"/*.heap.pb.gz; do
		[[ ! -e $file ]] || expect "$name: $(basename "$file") says how complete it is" grep -q 'heap counted exactly' <("$PPROFQ" "$file" comments)
	done
}

grows "1 million stacks" 64 "$HOSTILE/many_stacks" 1000000
expect_equal "1 million stacks: all are counted" 1000200 "$(query "$(profile many_stacks heap)" total alloc_objects)"
expect "1 million stacks: it is said that the table is full" grep -q 'stack table full' <("$PPROFQ" "$(profile many_stacks heap)" comments)
grows "10 million samples" 64 "$HOSTILE/many_samples" 10000000
expect_equal "10 million samples: all are counted" 10000000 "$(query "$(profile many_samples heap)" has half alloc_objects)"
grows "100,000 threads" 32 "$HOSTILE/threads_many" churn 100000
expect_equal "100,000 threads: all allocations" 100000 "$(query "$(profile threads_many heap)" has hostile_allocates alloc_objects)"
grows "10,000 loads" 32 "$HOSTILE/loads_unloads" "$HOSTILE/libpiece.so" 2500
finish
