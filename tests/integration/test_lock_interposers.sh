#!/bin/bash
# SPDX-License-Identifier: MIT
# Other interposers, in front of us and behind: a clock_gettime that locks and tells another time (as
# libfaketime does) is not asked for the time of waits, and a pthread_cond_wait without a version is called.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

clock=$VICTIMS/libother_clock.so cond=$VICTIMS/libother_cond.so

# under NAME PRELOAD: every wait recorded.
under()
{
	fresh_out
	expect_equal "$1: exit status" 0 "$(status_of profiled LD_PRELOAD="$2" CPROF_BLOCK_RATE=1 "$VICTIMS/other_clock")"
	expect_equal "$1: output" "done" "$(<"$TMP/stdout")"
	expect "$1: settles" settle
	expect_all_valid "$1"
	expect_equal "$1: the wait" 1 "$(query "$(profile other_clock block)" has wait_once contentions)"
	expect_range "$1: its delay" 150000000 "$(query "$(profile other_clock block)" has wait_once delay)" 20000000000
}

under "clock in front" "$clock:$CPROF_LIB"
under "clock behind" "$CPROF_LIB:$clock"

for preload in "$cond:$CPROF_LIB" "$CPROF_LIB:$cond"; do
	for rate in 0 1; do
		expect_equal "${preload##*/} last, rate $rate: exit status" 0 \
			"$(status_of profiled LD_PRELOAD="$preload" CPROF_BLOCK_RATE=$rate "$VICTIMS/cond_once")"
		expect_equal "${preload##*/} last, rate $rate: called" "interposed yes" "$(<"$TMP/stdout")"
	done
done
settle || fail "condition variables: settles"
finish
