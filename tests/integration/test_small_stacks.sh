#!/bin/bash
# SPDX-License-Identifier: MIT
# Little room: alternate signal stacks with none to spare, small limits on the stack and on descriptors.
set -euo pipefail
source "$(dirname "$0")/lib.sh"
steady_cpu

# A sample's frame is of the size of the handler's own: the first sizes have no room for a second one.
for spare in 512 1400 2400 3200 3600 4000 5000 65536; do
	for order in stack-first handler-first; do
		what="alternate stack, $spare to spare, $order"
		expect_equal "$what: plain" 3 "$(status_of bounded "$VICTIMS/altstack_small" $spare $order)"
		cp "$TMP/stdout" "$TMP/plain"
		fresh_out
		expect_equal "$what: exit status" 3 "$(status_of profiled CPROF_CPU_HZ=1000 "$VICTIMS/altstack_small" $spare $order)"
		expect "$what: same output" diff "$TMP/plain" "$TMP/stdout"
	done
done
expect_profile altstack_small cpu "large alternate stack"
expect_steady "large alternate stack: sampled, ms of 200" 160 \
	"$(($(query "$(profile altstack_small cpu)" has on_usr2 cpu) / 1000000))" 230

for limit in --stack=65536:65536 --stack=65536: --stack=131072:131072 --nofile=6:; do
	fresh_out
	expect_equal "$limit: exit status" 6 "$(status_of profiled CPROF_HEAP_RATE=1 prlimit "$limit" "$VICTIMS/steady" 200 6)"
	expect_equal "$limit: output" "done" "$(<"$TMP/stdout")"
	expect_equal "$limit: nothing said" "" "$(<"$TMP/stderr")"
	expect "$limit: settles" settle
	expect_all_valid "$limit"
	expect_profile steady cpu "$limit"
	expect_equal "$limit: heap exact" "1000 100000 600 60000" \
		"$(for t in alloc_objects alloc_space inuse_objects inuse_space; do query "$(profile steady heap)" has steady_allocates $t; done | xargs)"
	# The limit is there before cprof is: the collector inherits it from its first process.
	fresh_out
	expect_equal "$limit, in the first process: exit status" 6 \
		"$(status_of bounded prlimit "$limit" env LD_PRELOAD="$CPROF_LIB" CPROF_OUT="$OUT" CPROF_HEAP_RATE=1 "$VICTIMS/steady" 200 6)"
	expect_equal "$limit, in the first process: nothing said" "" "$(<"$TMP/stderr")"
	expect "$limit, in the first process: settles" settle
	expect_all_valid "$limit, in the first process"
	expect_profile steady cpu "$limit, in the first process"
	expect_profile steady heap "$limit, in the first process"
done

# With two descriptors left no collector can be started: the data stay where `cprof recover` finds them.
fresh_out
expect_equal "no descriptors: exit status" 6 \
	"$(status_of bounded prlimit --nofile=5: env LD_PRELOAD="$CPROF_LIB" CPROF_OUT="$OUT" CPROF_HEAP_RATE=1 "$VICTIMS/steady" 200 6)"
expect_equal "no descriptors: output" "done" "$(<"$TMP/stdout")"
expect "no descriptors: settles" settle
expect "no descriptors: recovered" "$CPROF" recover "$OUT"/.steady.*.cprof
rm -f "$OUT"/.steady.*.cprof
expect_all_valid "no descriptors"
expect_profile steady heap "no descriptors"
finish
