#!/bin/bash
# SPDX-License-Identifier: MIT
# A program that confines itself by syscall(SYS_seccomp) is not ended by what cprof does inside it.
set -euo pipefail
source "$(dirname "$0")/lib.sh"
steady_cpu

status=$(status_of bounded "$VICTIMS/confined")
[[ $status != 77 ]] || skip_test "no seccomp filters here"
expect_equal "plain" "3 done" "$status $(<"$TMP/stdout")"
for rates in "250 524288" "1000 1" "0 1" "250 0"; do
	read -r hz bytes <<<"$rates"
	fresh_out
	expect_equal "$hz Hz, $bytes bytes: exit status" 3 \
		"$(status_of profiled CPROF_CPU_HZ="$hz" CPROF_HEAP_RATE="$bytes" "$VICTIMS/confined")"
	expect_equal "$hz Hz, $bytes bytes: output" "done" "$(<"$TMP/stdout")"
	expect_equal "$hz Hz, $bytes bytes: nothing said" "" "$(<"$TMP/stderr")"
	expect "$hz Hz, $bytes bytes: settles" settle
	expect_all_valid "$hz Hz, $bytes bytes"
	if ((hz > 0)); then
		expect_range "$hz Hz, $bytes bytes: time in the filter is sampled, ms of 400" 350 \
			"$(($(query "$(profile confined cpu)" has confined_work cpu) / 1000000))" 430
	fi
	if ((bytes == 1)); then
		expect_equal "$hz Hz, $bytes bytes: allocations are exact, all but the first in the filter" "1001 50050100 0" \
			"$(for t in alloc_objects alloc_space inuse_objects; do query "$(profile confined heap)" has confined_allocates $t; done | xargs)"
	fi
done
finish
