#!/bin/bash
# SPDX-License-Identifier: MIT
# Threads by the thousand: none is refused, none is forgotten.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

sums() { for type in alloc_objects alloc_space inuse_objects inuse_space; do query "$1" has churn_allocates $type; done | xargs; }

for load in "2000 500" "2000 1" "3000 1500"; do
	fresh_out
	read -r total at_once <<<"$load"
	bounded "$VICTIMS/thread_churn" "$total" "$at_once" >"$TMP/plain" 2>&1 || true
	expect_equal "$total threads, $at_once at once: exit status" 0 \
		"$(status_of profiled CPROF_HEAP_RATE=1 "$VICTIMS/thread_churn" "$total" "$at_once")"
	expect "$load: same output" diff "$TMP/plain" "$TMP/stdout"
	expect_profile thread_churn heap "$load"
	expect_equal "$load: allocations exact" "$((3 * total)) $((120 * total)) $((2 * total)) $((80 * total))" \
		"$(sums "$(profile thread_churn heap)")"
done

# Cancelled ones, whose destructors allocate.
fresh_out
expect_equal "cancelled: exit status" 0 "$(status_of profiled CPROF_HEAP_RATE=1 "$VICTIMS/thread_churn" 400 100 cancel)"
expect_profile thread_churn heap "cancelled"
expect_equal "cancelled: output" "sum 400" "$(tail -1 "$TMP/stdout")"
expect_range "cancelled: allocations before the cancellation" 800 "$(query "$(profile thread_churn heap)" has churn_allocates alloc_objects)" 1200
expect_equal "cancelled: allocations of the destructors are those of threads that reached the wait" "" \
	"$(awk -v d="$(query "$(profile thread_churn heap)" has churn_destroys alloc_objects)" 'BEGIN { if (d < 1 || d > 400) print d }')"

# With few pending signals allowed, timers cannot be made for all: counted, and the program lives.
fresh_out
expect_equal "no timers to be had: exit status" 0 "$(status_of profiled CPROF_HEAP_RATE=1 \
	prlimit --sigpending=20 "$VICTIMS/thread_churn" 200 100)"
expect "no timers to be had: settles" settle
expect_equal "no timers to be had: allocations exact" "600 24000 400 16000" "$(sums "$(profile thread_churn heap)")"
fresh_out
expect_equal "little memory for the segment: exit status" 0 "$(status_of profiled CPROF_MEM=4M CPROF_HEAP_RATE=1 \
	"$VICTIMS/thread_churn" 400 200)"
expect_all_valid "little memory for the segment"
fresh_out
expect_equal "limited address space: exit status" 0 "$(status_of profiled \
	prlimit --as=1000000000 "$VICTIMS/thread_churn" 200 100)"
expect "limited address space: same output" grep -q "^sum 19900$" "$TMP/stdout"
fresh_out
expect_equal "limited file size: exit status" 0 "$(status_of profiled \
	prlimit --fsize=1000000 "$VICTIMS/thread_churn" 200 100)"
expect "limited file size: same output" grep -q "^sum 19900$" "$TMP/stdout"
finish
