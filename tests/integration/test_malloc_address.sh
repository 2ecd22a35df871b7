#!/bin/bash
# SPDX-License-Identifier: MIT
# An executable at a fixed address that takes malloc's address has a heap profile, under any order of preloaded libraries.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

# exact WHAT PRELOAD
exact()
{
	local site
	fresh_out
	expect_equal "$1: exit status" 3 "$(LIMIT=20 status_of bounded env LD_PRELOAD="$2" CPROF_OUT="$OUT" CPROF_HEAP_RATE=1 \
		"$VICTIMS/malloc_address")"
	expect_equal "$1: output" "addresses equal 1" "$(<"$TMP/stdout")"
	expect_equal "$1: nothing said" "" "$(<"$TMP/stderr")"
	expect "$1: settles" settle
	expect_all_valid "$1"
	expect_profile malloc_address heap "$1"
	for site in "address_allocates 100 5000 50 2500" "plainly_allocates 100 6000 50 3000"; do
		read -r function wanted <<<"$site"
		expect_equal "$1: $function" "$wanted" \
			"$(for t in alloc_objects alloc_space inuse_objects inuse_space; do query "$(profile malloc_address heap)" has "$function" $t; done | xargs)"
	done
}

exact "glibc" "$CPROF_LIB"
# The allocator's symbol table, which is written to, stays executable where it was.
exact "code and symbols in one page" "$VICTIMS/libone_segment.so:$CPROF_LIB"
jemalloc=$(ldconfig -p | awk '/libjemalloc\.so\.2/ { found = $NF } END { print found }')
if [[ -n $jemalloc ]]; then
	exact "jemalloc before" "$jemalloc:$CPROF_LIB"
	exact "jemalloc after" "$CPROF_LIB:$jemalloc"
	# The allocator's start, with its lock held, calls functions that are interposed.
	expect_equal "jemalloc before: other programs start" 0 \
		"$(LIMIT=20 status_of bounded env LD_PRELOAD="$jemalloc:$CPROF_LIB" CPROF_OUT="$OUT" sh -c 'true | cat')"
else
	skip_check "jemalloc: not installed"
fi
finish
