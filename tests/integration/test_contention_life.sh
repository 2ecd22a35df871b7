#!/bin/bash
# SPDX-License-Identifier: MIT
# Threads started and waits are counted exactly by who starts and waits, each in its own process's
# file, whatever the end of the process; and across rates that change while it runs.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

# sum FILE TYPE PATTERN: over the stacks, "leaf;...;root", that match.
sum()
{
	"$PPROFQ" "$1" stacks "$2" 2>/dev/null |
		awk -v pattern="$3" '{ value = $1; sub(/^[^ ]+ /, "") } $0 ~ pattern { sum += value } END { printf "%d\n", sum }'
}

# counts FILE TYPE SITE...: the sums of these call sites.
counts()
{
	local file=$1 type=$2
	shift 2
	for site; do query "$file" has "$site" "$type"; done | xargs
}

# ---- threads started ----
fresh_out
expect_equal "starts: exit status" 0 "$(status_of profiled CPROF_MUTEX_FRACTION=1 "$VICTIMS/thread_starts")"
expect "starts: settles" settle
expect_all_valid "starts"
expect_equal "starts: two in vain" 2 "$(truth "$TMP/stdout" failed)"
for file in "$OUT"/*.threadcreate.pb.gz; do
	if (($(query "$file" has starts_in_a_child threadcreate) > 0)); then
		child=$file
	else
		parent=$file
	fi
done
while read -r _ site leaf count; do
	expect_equal "starts: $site" "$count" "$(sum "$parent" threadcreate "^$leaf;(.*;)?$site;")"
	expect_equal "starts: $site, no other leaf" "$count" "$(query "$parent" has "$site" threadcreate)"
done < <(grep '^starts ' "$TMP/stdout")
expect_equal "starts: nothing else" 35 "$(query "$parent" total threadcreate)"
expect_equal "starts: the child's in its own file" "9 9" \
	"$(query "${child:-none}" has starts_in_a_child threadcreate) $(query "${child:-none}" total threadcreate)"
expect_equal "starts: as Go writes it" "threadcreate/count period threadcreate/count 1" "$("$PPROFQ" "$parent" types | xargs)"
expect_sane_pprof "starts" "$parent"
fresh_out
profiled "$VICTIMS/thread_starts" >"$TMP/stdout"
expect "starts: settles" settle
expect_equal "starts: a profile of its own only beside those of waits" "" "$(compgen -G "$OUT/*.threadcreate.pb.gz" || true)"
if [[ -x $VICTIMS/contention_rust ]]; then
	fresh_out
	expect_equal "starts in Rust: exit status" 0 "$(status_of profiled CPROF_BLOCK_RATE=1ms "$VICTIMS/contention_rust")"
	expect_equal "starts in Rust" "5 5" "$(sum "$(profile contention_rust threadcreate)" threadcreate '^pthread_create;.*;contention_rust::main;') \
$(query "$(profile contention_rust threadcreate)" total threadcreate)"
fi

# ---- each process its own ----
fresh_out
expect_equal "family: exit status" 0 "$(status_of profiled CPROF_BLOCK_RATE=1 "$VICTIMS/contention_life" family)"
expect_equal "family: output" "child 0" "$(<"$TMP/stdout")"
expect "family: settles" settle
expect_all_valid "family"
expect_equal "family: parent, child, grandchild" "0 0 7|0 6 0|45 0 0" "$(for file in "$OUT"/*.block.pb.gz; do
	counts "$file" contentions parent_waits child_waits grandchild_waits
done | sort -n | paste -sd'|')"
expect_equal "family: waits that ended, with their releases" "0|2|4" "$(for file in "$OUT"/*.block.pb.gz; do
	sum "$file" contentions '^pthread_mutex_lock;waits_its_turn;'
done | sort -n | paste -sd'|')"
expect_equal "family: charged in their own processes" "2 0|4 0" "$(for file in "$OUT"/*.mutex.pb.gz; do
	echo "$(query "$file" has unlock_passed contentions) $(query "$file" has waits_its_turn contentions)"
done | grep -v '^0 0$' | sort -n | paste -sd'|')"

# ---- whatever the end ----
# ends WAY SITES WANTED
ends()
{
	local status=0
	fresh_out
	(ulimit -c 0; profiled CPROF_BLOCK_RATE=1 "$VICTIMS/contention_life" end "$1") >"$TMP/end.out" 2>&1 || status=$?
	expect "$1: settles" settle
	expect_equal "$1: exit status" "$2" "$status"
	expect_equal "$1: waits" "$3" "$(counts "$(profile contention_life block)" contentions first_waits second_waits)"
}
ends _exit 3 "20 0"
ends abort 134 "20 0"
ends exec 0 "20 0"
ends threads 0 "20 20"
for _ in 1 2 3 4 5; do
	fresh_out
	LD_PRELOAD=$CPROF_LIB CPROF_OUT=$OUT CPROF_BLOCK_RATE=1 "$VICTIMS/contention_life" end told >"$TMP/told" 2>&1 &
	victim=$!
	sleep "0.$((RANDOM % 3))$((RANDOM % 10))5"
	kill -9 $victim
	wait $victim 2>/dev/null || true
	expect "kill -9: settles" settle
	said=$(tail -1 "$TMP/told")
	if [[ -n $said ]]; then
		expect_range "kill -9: each wait that was over is there" "$said" \
			"$(counts "$(profile contention_life block)" contentions first_waits)" $((said + 1))
	fi
done

# ---- rates changed while it runs ----
# tell SITE COUNT: until they are over.
tell()
{
	local answer
	echo "$1 $2" >&"${victim_io[1]}"
	read -r -t 20 answer <&"${victim_io[0]}" || answer=none
	[[ $answer == "$1 $2" ]] || fail "told '$1 $2', heard '$answer'"
}

# started VARIABLE=VALUE...: one that does as it is told.
started()
{
	fresh_out
	coproc victim_io { exec env LD_PRELOAD="$CPROF_LIB" CPROF_OUT="$OUT" "$@" "$VICTIMS/contention_life" told 2>"$TMP/told.err"; }
	victim=${victim_io_PID:?}
	tell second 1
}

over()
{
	local input=${victim_io[1]}
	exec {input}>&-
	wait "$victim" || fail "exit status $?"
	expect "$what: settles" settle
	expect_all_valid "$what"
	expect_equal "$what: nothing said" "" "$(<"$TMP/told.err")"
	block=$(profile contention_life block) mutex=$(profile contention_life mutex)
}

what="turned on"
started CPROF_BLOCK_RATE=0
tell first 10
expect "$what" "$CPROF" set "$victim" block_rate=1 mutex_fraction=1
tell second 20
tell turn 5
expect "$what: other rates" "$CPROF" set "$victim" block_rate=100ms
tell second 2
expect "$what: and off again" "$CPROF" set "$victim" block_rate=0 mutex_fraction=0
tell first 10
tell turn 3
expect "$what: and on again" "$CPROF" set "$victim" block_rate=1
tell third 6
over
expect_equal "$what: counted while it was on" "0 6" "$(counts "$block" contentions first_waits third_waits)"
expect_equal "$what: waits that ended" 5 "$(sum "$block" contentions '^pthread_mutex_lock;waits_its_turn;')"
expect_equal "$what: charged while it was on" 5 "$(query "$mutex" has unlock_passed contentions)"
# At 100 ms a wait of 2 ms is rarely seen, and counts for some fifty then.
expect_range "$what: the rate's own waits" 20 "$(counts "$block" contentions second_waits)" 150

what="turned off"
started CPROF_BLOCK_RATE=1
tell first 10
expect "$what" "$CPROF" set "$victim" block_rate=0
tell first 10
tell turn 4
over
expect_equal "$what: counted while it was on" 10 "$(counts "$block" contentions first_waits)"
expect_equal "$what: the mutex profile stays on" 4 "$(query "$mutex" has unlock_passed contentions)"
finish
