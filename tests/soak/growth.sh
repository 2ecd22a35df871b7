#!/bin/bash
# SPDX-License-Identifier: MIT
# A day's worth of events in minutes: the program's segment stays within CPROF_MEM, the collector's peak as the kernel
# knows it is for all of them no higher than for a quarter but for what the segment has grown by, and the sums stay
# right when tables are full.
set -euo pipefail
source "$(dirname "$0")/../integration/lib.sh"
source "$HERE/hostile.sh"

# What one run of the same may need more than another: when the allocator gives pages back hangs on the time.
SLACK_KB=4096
# In the soak's share there is time for one.
kinds=(stacks samples threads loads)
[[ -z ${SHARE:-} ]] || ONLY=${ONLY:-${kinds[SEED % 4]}}

# hold_segment: the segment's descriptor is $held, as soon as the collector has one.
hold_segment()
{
	local pid fd
	for pid in $(our_collectors); do
		for fd in "/proc/$pid"/fd/*; do
			[[ $(readlink "$fd" 2>/dev/null) == /memfd:* ]] || continue
			if { exec {held}<"$fd"; } 2>/dev/null; then return 0; fi
		done
	done
	return 1
}

# watched MEM_MB COMMAND...: in KB, what the segment has grown to is in $segment, and in $peak the collector's largest size,
# the segment's pages that it looked at included.
watched()
{
	local mem=$1 running held=
	shift
	fresh_out
	rm -f "$TMP/peak"
	(LIMIT=280 bounded "$BUILD/tests/peak" "$TMP/peak" env LD_PRELOAD="$CPROF_LIB" CPROF_OUT="$OUT" CPROF_MEM="${mem}M" \
		"${EVERYTHING[@]}" "$@" >"$TMP/seen.out" 2>"$TMP/seen.err") &
	running=$!
	wait_until 20 hold_segment || fail "$*: its segment"
	wait $running || fail "$*: exit status $?"
	segment=$(($(stat -L -c %b "/proc/self/fd/$held") / 2))
	exec {held}<&-
	peak=$(truth "$TMP/peak" peak)
}

# grows NAME MEM_MB COUNT COMMAND...: COUNT is the command's last argument.  Where many names are read, while
# many stacks are written, a run has needed 7 MB more than another of the same: those have three times the slack.
grows()
{
	local name=$1 mem=$2 count=$3 quarter quarters_segment more file failed_before=$checks_failed slack=$SLACK_KB
	[[ $name == *samples ]] || slack=$((3 * SLACK_KB))
	shift 3
	watched "$mem" "$@" $((count / 4))
	quarter=$peak
	quarters_segment=$segment
	watched "$mem" "$@" "$count"
	expect_range "$name: the segment's size in KB, CPROF_MEM ${mem}M" 1 "$segment" $((mem * 1024))
	more=$((segment > quarters_segment ? segment - quarters_segment : 0))
	expect_range "$name: the collector's peak in KB, $quarter for a quarter of them, whose segment has $more less" \
		1 "$peak" $((quarter + more + slack))
	# Its own code and the symbols it read, the segment, and a few times what the tables can hold.
	expect_range "$name: the collector's peak in MB" 1 $((peak / 1024)) $((200 + 5 * mem))
	expect_all_valid "$name"
	for file in "$OUT"/*.heap.pb.gz; do
		[[ ! -e $file ]] || expect "$name: $(basename "$file") says how complete it is" grep -q 'heap counted exactly' <("$PPROFQ" "$file" comments)
	done
	((checks_failed > failed_before)) || tally "growth: $name, CPROF_MEM ${mem}M" 1
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
