#!/bin/bash
# SPDX-License-Identifier: MIT
# The paths that programs take often stay as short as they are: instructions of the library
# are counted one by one, which is exact where a clock is not.
#
# The budgets are what gcc 12 makes of them; what only other compilers need may be a
# quarter more.  Who makes a path longer changes its budget here, and says why.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

STEPS=$BUILD/tests/steps
[[ -z $(nm -D "$CPROF_LIB" | grep -E '__(asan|ubsan|tsan)_' || true) ]] || skip_test "a sanitizer makes everything longer"

slack=0
[[ $(gcc -dumpversion 2>/dev/null) == 12* ]] || slack=25

# within WHAT SETTING NAME BUDGET...: the counts under the setting are within the budgets.
within()
{
	local what=$1 setting=$2 name budget status=0
	shift 2
	fresh_out
	bounded "$STEPS" libcprof.so env LD_PRELOAD="$CPROF_LIB" CPROF_OUT="$OUT" "$setting" \
		"$VICTIMS/fast_paths" sample >"$TMP/counts" 2>"$TMP/stderr" || status=$?
	[[ $status != 77 ]] || skip_test "no process may be traced here"
	expect_equal "$what: exit status" 0 "$status"
	while (($# > 1)); do
		name=$1 budget=$2
		shift 2
		expect_range "$what: $name" 1 "$(truth "$TMP/counts" "$name")" $((budget + budget * slack / 100))
	done
}

# What all of them look at, and where they lie: each line or page more is cold where a program does much else.
address() { echo $((0x$(nm "$CPROF_LIB" | awk -v name="$1" '$3 == name { print $1; exit }'))); }
expect_equal "the words and the six most frequent calls are in one line" \
	$(($(address contention_word) / 64)) $((($(address real) + 6 * 8 - 1) / 64))
expect_equal "and malloc's begins the next" $(($(address contention_word) / 64 * 64 + 64)) $(($(address real) + 6 * 8))
for name in free calloc realloc read write poll; do
	expect_equal "$name is in malloc's page" $(($(address malloc) / 4096)) $(($(address $name) / 4096))
done

# What every program pays all the time.
within "sampled" CPROF_HEAP_RATE=1G malloc 7 free 8 calloc 9 realloc 14 \
	mutex_lock 5 mutex_unlock 5 read 5

# Contention profiling on, nobody in the way.
within "block and mutex on" CPROF_BLOCK_RATE=10us mutex_lock 18 mutex_unlock 15

# A sample of 30 frames; an allocation of 6, each recorded, whose stack came before, and its free.
# Three or four instructions of each look whether a trace is taken; two of a CPU sample whether it ended a call.
# It comes by syscall(), three of whose instructions look whether there is a trace that a signal is to be in.
# Three more where the collector has not beaten since the start, as it may be on a busy machine.
within "a CPU sample" CPROF_CPU_HZ=100 cpu_sample 2137
within "every allocation" CPROF_HEAP_RATE=1 malloc 445 free 93

# What a program says itself: the label is known already; begin and end of a region, with text, and
# each with a stack that came before and a reading of the clock.
within "labels" CPROF_HEAP_RATE=1G labels 320
within "a trace" CPROF_TRACE=flight region 801

finish
