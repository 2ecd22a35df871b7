#!/bin/bash
# SPDX-License-Identifier: MIT
# Labels of cprof.h: every sample carries those that were in force, and a block in use those of its
# allocation; threads and forked children inherit them.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

# sum FILE TYPE LABELS FUNCTION: what the samples with FUNCTION and exactly these labels add up to.
sum()
{
	query "$1" labels "$2" | awk -v labels="{$3}" -v function_="$4" '{
		value = $1
		match($0, /{[^}]*}/)
		text = substr($0, RSTART, RLENGTH)
		sub(/ ?bytes=[0-9]+ bytes/, "", text)
		stack = ";" substr($0, RSTART + RLENGTH + 1) ";"
		if (text == labels && index(stack, ";" function_ ";"))
			sum += value
	} END { print sum + 0 }'
}

# expect_heap WHAT FILE LABELS ALLOCATED BYTES USED BYTES: of the blocks that allocate() made.
expect_heap()
{
	local what=$1 file=$2 labels=$3 got="" type
	for type in alloc_objects alloc_space inuse_objects inuse_space; do
		got+="$(sum "$file" $type "$labels" allocate) "
	done
	expect_equal "$what" "${*:4}" "${got% }"
}

# all_of FILE TYPE LABELS FUNCTION: there is something, and none of it has other labels.
expect_all_of()
{
	local all
	all=$(query "$2" has "$5" "$3")
	expect_range "$1: samples" 1 "$all" 1000000000000
	expect_equal "$1: all with its labels" "$all" "$(sum "$2" "$3" "$4" "$5")"
}

profiled CPROF_HEAP_RATE=1 CPROF_BLOCK_RATE=1 CPROF_CPU_HZ=200 "$VICTIMS/labels" >"$TMP/truth"
expect "settles" settle
expect_all_valid "labels"
child=$(truth "$TMP/truth" child)
parent=$(compgen -G "$OUT/labels.*.cpu.pb.gz" | sed -E 's/.*labels\.([0-9]+)\.cpu.*/\1/' | grep -vx "$child")
heap=$OUT/labels.$parent.heap.pb.gz

expect_heap "anna, whose blocks another tenant freed" "$heap" "tenant=anna" 100 4800 10 480
expect_heap "bert" "$heap" "tenant=bert" 200 9600 20 960
expect_heap "carl, who freed them" "$heap" "tenant=carl" 300 14400 20 960
expect_equal "a started thread inherits; of equal keys the last one counts" 100 \
	"$(sum "$heap" alloc_objects "step=2 tenant=emil" allocate_in_thread)"
expect_equal "labels handed to another thread" 50 \
	"$(sum "$heap" alloc_objects "step=2 tenant=emil" allocate_for_others)"
expect_equal "and taken back" 10 "$(sum "$heap" alloc_objects "" allocate_for_others)"

heap=$OUT/labels.$child.heap.pb.gz
expect_heap "a forked child's own" "$heap" "tenant=child" 30 960 20 640
expect_heap "what it inherited" "$heap" "tenant=forked" 70 2240 20 640
expect_heap "what its parent had before" "$heap" "" 5 160 5 160

cpu=$OUT/labels.$parent.cpu.pb.gz
expect_all_of "CPU: anna" "$cpu" cpu "tenant=anna" burn_anna
expect_all_of "CPU: bert" "$cpu" cpu "tenant=bert" burn_bert
expect_all_of "CPU: nobody" "$cpu" cpu "" burn_nobody
expect_all_of "block" "$OUT/labels.$parent.block.pb.gz" delay "tenant=anna" wait_for_lock
expect_all_of "mutex" "$OUT/labels.$parent.mutex.pb.gz" delay "tenant=bert" make_wait
expect_equal "threadcreate: no labels" 0 "$(query "$OUT/labels.$parent.threadcreate.pb.gz" labels | grep -c '=' || true)"

# Their numbers by tenant, as the tool shows them.
pprof -tags "$cpu" >"$TMP/tags" 2>&1 || true
expect "go tool pprof -tags knows the tenants" grep -q 'anna' "$TMP/tags"

# More sets than there is room for: the program runs, what is missing is said.
fresh_out
profiled CPROF_HEAP_RATE=1 CPROF_MEM=1M "$VICTIMS/labels" many >/dev/null
expect "settles with a full table" settle
heap=$(profile labels heap)
expect_equal "a full table: all is counted all the same" 20000 "$(query "$heap" has allocate alloc_objects)"
expect_equal "a full table is said" 1 "$(query "$heap" comments | grep -c '^cprof: [0-9]* labels were not added')"
finish
