#!/bin/bash
# SPDX-License-Identifier: MIT
# A day's worth of events in minutes: the program's segment stays within CPROF_MEM, the collector needs no more
# memory for all of them than for a quarter, and the sums stay right when tables are full.
set -euo pipefail
source "$(dirname "$0")/../integration/lib.sh"
source "$HERE/hostile.sh"

# segment_kb PID: the largest segment that a collector's process holds.
segment_kb()
{
	local fd most=0 blocks
	for fd in "/proc/$1"/fd/*; do
		[[ $(readlink "$fd" 2>/dev/null) == /memfd:* ]] || continue
		blocks=$(stat -L -c %b "$fd" 2>/dev/null) || continue
		((blocks <= most)) || most=$blocks
	done
	echo $((most / 2))
}

# own_kb PID: what a process has without what it shares with the programs.  By the shell alone: while a profile is
# written the collector is at its largest for some hundredths of a second.
own_kb()
{
	local key kb sum=0
	while read -r key kb _; do
		[[ $key != RssAnon: && $key != RssFile: ]] || sum=$((sum + kb))
	done <"/proc/$1/status"
	size=$sum
}

# watched MEM_MB COMMAND...: the largest sizes in KB are in $segment, and in $own without the segments, which are the
# programs'.
watched()
{
	local mem=$1 running pid pids='' size look
	shift
	own=0
	segment=0
	fresh_out
	(LIMIT=280 bounded env LD_PRELOAD="$CPROF_LIB" CPROF_OUT="$OUT" CPROF_MEM="${mem}M" "${EVERYTHING[@]}" "$@" >"$TMP/seen.out" 2>"$TMP/seen.err") &
	running=$!
	for ((look = 0; ; look++)); do
		if ((look % 4 == 0)) || [[ -z $pids ]]; then
			kill -0 $running 2>/dev/null || ! no_collectors || break
			pids=$(our_collectors)
			for pid in $pids; do
				size=$(segment_kb "$pid")
				((size <= segment)) || segment=$size
			done
		fi
		for pid in $pids; do
			size=0
			own_kb "$pid" 2>/dev/null || true # it is gone
			((size <= own)) || own=$size
		done
		sleep 0.01
	done
	wait $running || fail "$*: exit status $?"
}

# grows NAME MEM_MB COUNT COMMAND...: COUNT is the command's last argument.
grows()
{
	local name=$1 mem=$2 count=$3 quarter file
	shift 3
	watched "$mem" "$@" $((count / 4))
	quarter=$own
	watched "$mem" "$@" "$count"
	expect_range "$name: the segment's size in KB, CPROF_MEM ${mem}M" 1 "$segment" $((mem * 1024))
	# 40 MB: while symbols are read and profiles written, which the shell may have seen in one of the runs only.
	expect_range "$name: the collector's size in KB, $quarter for a quarter of them" 1 "$own" $((quarter * 5 / 4 + 40960))
	# Its own code and the symbols it read, and a few times what the tables can hold.
	expect_range "$name: the collector's size in MB" 1 $((own / 1024)) $((200 + 4 * mem))
	expect_all_valid "$name"
	for file in "$OUT"/*.heap.pb.gz; do
		[[ ! -e $file ]] || expect "$name: $(basename "$file") says how complete it is" grep -q 'heap counted exactly' <("$PPROFQ" "$file" comments)
	done
	((checks_failed)) || tally "growth: $name, CPROF_MEM ${mem}M" 1
}

if is_asked_for stacks; then
	grows "1 million stacks" 64 1000000 "$HOSTILE/many_stacks"
	expect_equal "1 million stacks: they were" "stacks 1000000" "$(grep stacks "$TMP/seen.out")"
	expect_equal "1 million stacks: all are counted" 1000200 "$(query "$(profile many_stacks heap)" total alloc_objects)"
	expect "1 million stacks: it is said that the table is full" grep -q 'stack table full' <("$PPROFQ" "$(profile many_stacks heap)" comments)
fi
if is_asked_for samples; then
	grows "10 million samples" 64 10000000 "$HOSTILE/many_samples"
	expect_equal "10 million samples: all are counted" 10000000 "$(query "$(profile many_samples heap)" has half alloc_objects)"
fi
if is_asked_for threads; then
	grows "100,000 threads" 32 100000 "$HOSTILE/threads_many" churn
	expect_equal "100,000 threads: all allocations" 100000 "$(query "$(profile threads_many heap)" has hostile_allocates alloc_objects)"
fi
if is_asked_for loads; then
	# Each round makes four.  Those into namespaces of their own use a malloc of their own.
	grows "10,000 loads" 32 2500 "$HOSTILE/loads_unloads" "$HOSTILE/libpiece.so"
	expect_equal "10,000 loads: all worked" 1 "$(grep -c '^again 2500, copies 2500, deleted 2500, deep 2500, namespaces 3$' "$TMP/seen.out" || true)"
	expect_equal "10,000 loads: each constructor's block" 10000 "$(query "$(profile loads_unloads heap)" has comes alloc_objects)"
fi
finish
