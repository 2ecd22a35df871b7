#!/bin/bash
# SPDX-License-Identifier: MIT
# What a trace says of waits, wakers, regions and tasks is what the program knows itself: each wait of a millisecond
# or more is there, within the program's own clock readings, ended by whoever ended it, and none that was not.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

SUPPORT=$HERE/../support

# judge WHAT TRACE: against the program's own account in $TMP/stdout.
judge()
{
	expect "$1: is sound" python3 "$SUPPORT/perfetto_text.py" "$2"
	python3 "$SUPPORT/perfetto_text.py" "$2" >"$TMP/text"
	python3 "$SUPPORT/trace_pipeline.py" "$TMP/stdout" "$TMP/text" >"$TMP/figures"
	grep '^#' "$TMP/figures" | head -5 || true
	expect_range "$1: waits of a millisecond" 50 "$(truth "$TMP/figures" due)" 1000
	expect_equal "$1: waits that are there" "$(truth "$TMP/figures" due)" "$(truth "$TMP/figures" found)"
	# But for those in which a hypervisor took the CPU away: no account tells.
	expect_range "$1: waits as long as the thread slept" $(($(truth "$TMP/figures" due) * 9 / 10)) \
		"$(truth "$TMP/figures" long_enough)" "$(truth "$TMP/figures" due)"
	expect_equal "$1: waits that were none" 0 "$(truth "$TMP/figures" invented)"
	expect_equal "$1: wakers" "$(truth "$TMP/figures" wakers_due)" "$(truth "$TMP/figures" wakers_right)"
	expect_equal "$1: regions" 48 "$(truth "$TMP/figures" regions_right)"
	expect_equal "$1: tasks" 48 "$(truth "$TMP/figures" tasks_right)"
	# Not a check: a thread may lose the CPU between two readings of the clock.
	echo "within a millisecond: $(truth "$TMP/figures" close); overtaken: $(truth "$TMP/figures" wakers_overtaken)"
}

status=$(status_of profiled CPROF_TRACE=full "$VICTIMS/trace_pipeline")
[[ $status != 77 ]] || skip_test "the kernel keeps no account of when threads were ready to run"
expect_equal "full trace: exit status" 0 "$status"
judge "full trace" "$OUT"/trace_pipeline.*.perfetto-trace

# Rates of the profiles are another matter: with them on, the trace says the same.
fresh_out
expect_equal "with profiles: exit status" 0 "$(status_of profiled CPROF_TRACE=full CPROF_BLOCK_RATE=1 CPROF_HEAP_RATE=1 "$VICTIMS/trace_pipeline")"
judge "with profiles" "$OUT"/trace_pipeline.*.perfetto-trace

finish
