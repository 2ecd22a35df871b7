#!/bin/bash
# SPDX-License-Identifier: MIT
# Locks at the edge of their lives: unmapped by the one who waited, waited for on the smallest stacks, by
# more threads than the table of waiters has room for, in handlers in the middle of waits, left by jumps.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

# edge MODE: plain and with every wait recorded; block and mutex are the profiles.
edge()
{
	mode=$1
	fresh_out
	expect_equal "$mode: plain" 0 "$(status_of bounded "$VICTIMS/lock_edges" "$mode")"
	mv "$TMP/stdout" "$TMP/plain"
	expect_equal "$mode: exit status" 0 "$(status_of profiled CPROF_BLOCK_RATE=1 "$VICTIMS/lock_edges" "$mode")"
	expect "$mode: settles" settle
	expect_all_valid "$mode"
	block=$(profile lock_edges block) mutex=$(profile lock_edges mutex)
}

# counts FILE SITE LEAF: how often this leaf was called there, and how often anything was.
counts()
{
	echo "$("$PPROFQ" "$1" stacks contentions | awk -v start="$3;$2;" '{ value = $1; sub(/^[^ ]+ /, "") }
		index($0, start) == 1 { sum += value } END { print sum + 0 }') $(query "$1" has "$2" contentions)"
}

# untracked: how many waits the mutex profile says are charged to no holder.
untracked()
{
	query "$mutex" comments | sed -n 's/^cprof: \([0-9]*\) waits are charged to no holder.*/\1/p'
}

edge lifetimes
expect "$mode: same output" diff "$TMP/plain" "$TMP/stdout"
expect_range "$mode: waits" 500 "$(query "$block" total contentions)" 20000
# Each release of the first thread ends one wait of the second, if that had come by then.
waits=$("$PPROFQ" "$block" stacks contentions | awk '/(mutex|rwlock|spin).*;take_and_unmap;/ { sum += $1 } END { print sum }')
expect_equal "$mode: each wait for a lock is charged" "$waits" "$(query "$mutex" total contentions)"

edge small-stacks
expect "$mode: same output" diff "$TMP/plain" "$TMP/stdout"
for leaf in pthread_mutex_lock pthread_cond_timedwait sem_timedwait; do
	expect_equal "$mode: $leaf" 10 "$(counts "$block" small_waits $leaf | cut -d' ' -f1)"
done

expect_equal "$mode: each was let in by another's release or wait" 10 "$(query "$mutex" total contentions)"

edge crowd
expect_equal "$mode: every wait is recorded" "1300 1300" "$(counts "$block" waits_for_own pthread_mutex_lock)"
charged=$(query "$mutex" has releases_own contentions)
said=$(untracked)
expect_equal "$mode: charged, or said not to be" 1300 $((charged + ${said:-0}))
expect_range "$mode: charged" 500 "$charged" 1300

edge handlers
expect_equal "$mode: the handler's waits" "20 20" "$(counts "$block" handler_waits pthread_mutex_timedlock)"
expect_equal "$mode: the wait around them" 1 "$(counts "$block" outer_waits pthread_mutex_lock | cut -d' ' -f1)"
expect_equal "$mode: both on the handler's stacks" 20 "$("$PPROFQ" "$block" stacks contentions |
	awk '/ pthread_mutex_timedlock;handler_waits;.*;outer_waits;/ { sum += $1 } END { print sum + 0 }')"
expect_equal "$mode: the release" 1 "$(query "$mutex" leaf pthread_mutex_unlock contentions)"

edge jumps
expect_equal "$mode: exact again afterwards" "1 1" "$(counts "$block" outer_waits pthread_mutex_lock)"
expect_equal "$mode: a wait left by a jump is none" 0 "$(query "$block" has left_waits contentions)"
expect_equal "$mode: the release" 1 "$(query "$mutex" total contentions)"

# At any moment, so in the middle of cprof's own work too: what is lost then is said.
edge jumps-anywhere
expect_equal "$mode: exact again afterwards" "1 1" "$(counts "$block" outer_waits pthread_mutex_lock)"

# All that waited is charged, each wait once, its time to 2 %.  A thread that is interrupted at a bad moment
# may take a release for one that is not seen: that is rare, and said.
edge hammer
expect "$mode: same output" diff "$TMP/plain" "$TMP/stdout"
waits_for_locks()
{
	"$PPROFQ" "$block" stacks "$1" | awk '/ pthread_(mutex|rwlock)_[a-z]*lock;/ { sum += $1 } END { print sum + 0 }'
}
waits=$(waits_for_locks contentions) delay=$(waits_for_locks delay) said=$(untracked)
said=${said:-0}
expect_range "$mode: waits" 100 "$waits" 40000
expect_equal "$mode: as many are charged" "$waits" $(($(query "$mutex" total contentions) + said))
expect_range "$mode: said not to be" 0 "$said" $((waits / 100))
expect_range "$mode: as long, ns" $((delay * 98 / 100)) "$(query "$mutex" total delay)" $((delay * 102 / 100))
finish
