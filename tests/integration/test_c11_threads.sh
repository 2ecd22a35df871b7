#!/bin/bash
# SPDX-License-Identifier: MIT
# Threads of <threads.h> are in both profiles, and give back what they return.
set -euo pipefail
source "$(dirname "$0")/lib.sh"
steady_cpu

bounded "$VICTIMS/c11_threads" >"$TMP/plain" || true
expect_equal "plain" "results -7 2147483647" "$(<"$TMP/plain")"
expect_equal "exit status" 3 "$(status_of profiled CPROF_CPU_HZ=250 CPROF_HEAP_RATE=1 "$VICTIMS/c11_threads")"
expect "same output" diff "$TMP/plain" "$TMP/stdout"
expect_equal "nothing said" "" "$(<"$TMP/stderr")"
expect "settles" settle
expect_all_valid "threads of C11"
expect_range "sampled, ms of 400" 340 "$(($(query "$(profile c11_threads cpu)" has c11_work cpu) / 1000000))" 440
for function in returns leaves; do
	expect_range "$function: sampled, ms of 200" 160 \
		"$(($(query "$(profile c11_threads cpu)" has $function cpu) / 1000000))" 230
done
expect_equal "allocations exact" "20 6000" \
	"$(for t in alloc_objects alloc_space; do query "$(profile c11_threads heap)" has c11_allocates $t; done | xargs)"
finish
