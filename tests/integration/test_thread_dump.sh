#!/bin/bash
# SPDX-License-Identifier: MIT
# Dumps of all threads name where each is and what it waits for, and no thread notices.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

# start NAME [VARIABLE=VALUE...] COMMAND...: in the background under cprof; $victim is its pid.
start()
{
	: >"$TMP/$1.out" # what an earlier one said
	env LD_PRELOAD="$CPROF_LIB" CPROF_OUT="$OUT" "${@:2}" >"$TMP/$1.out" 2>"$TMP/$1.err" &
	victim=$!
}

says()
{
	grep -q "$2" "$TMP/$1.out"
}

# dump: the text of a dump of $victim in $TMP/dump.
dump()
{
	bounded "$CPROF" snapshot --threads "$victim" >"$TMP/dump" 2>"$TMP/dump.err"
}

is_deadlocked()
{
	dump && grep -q "^deadlock: " "$TMP/dump"
}

# paragraph NAME: what the last dump says of the thread of this name.
paragraph()
{
	awk -v RS= -v name="\"$1\"" 'index($0, name) && /^thread [0-9]/ && index($0, name) < index($0, "[") { print }' "$TMP/dump"
}

# functions NAME: the frames of its stack in one line.
functions()
{
	paragraph "$1" | awk '/^[^\t]/ && NR > 1 && !/^created/ { sub(/\(.*/, ""); printf "%s ", $0 }'
}

finish_victim()
{
	kill -KILL "$victim" 2>/dev/null || true
	wait "$victim" 2>/dev/null || true
}

state_of()
{
	awk '/^(State|Threads|SigPnd|ShdPnd|SigBlk|SigCgt|TracerPid)/' "/proc/$victim/status"
}

stacks_of()
{
	dump && awk '/^\t/ || /^[a-z_0-9]*\(\.\.\.\)$/' "$TMP/dump"
}

# ---- a deadlock, with and without published waits ------------------------------------------------

for rate in 0 1; do
	start deadlock CPROF_BLOCK_RATE=$rate "$VICTIMS/deadlock"
	expect "rate $rate: runs" wait_until 10 says deadlock left
	left=$(truth "$TMP/deadlock.out" left)
	right=$(truth "$TMP/deadlock.out" left 3)
	expect "rate $rate: both wait" wait_until 10 is_deadlocked
	before=$(state_of)
	expect "rate $rate: dump" dump
	expect_equal "rate $rate: nothing else said" "" "$(grep '^cprof' "$TMP/dump.err" || true)"
	expect_equal "rate $rate: state unchanged" "$before" "$(state_of)"
	expect_equal "rate $rate: three threads" 3 "$(grep -c '^thread [0-9]' "$TMP/dump")"
	expect "rate $rate: the circle" grep -Eq "^deadlock: thread [0-9]+ \"left first\" waits for mutex $right held by thread [0-9]+ \"right first\", which waits for mutex $left held by thread [0-9]+ \"left first\"\$" "$TMP/dump"
	expect "rate $rate: waits for right" grep -Eq "\"left first\" \[waiting for mutex $right \(held by thread [0-9]+ \"right first\"\)" "$TMP/dump"
	for name in left right; do
		expect "rate $rate: $name: the lock call and its callers" \
			grep -Eq 'pthread_mutex_lock take_the_other takes_'$name'_first ' <<<"$(functions "$name first")"
		expect "rate $rate: $name: who created it" grep -q '^created by start_both$' <<<"$(paragraph "$name first")"
	done
	how='stopped|read'
	((rate)) && how=published
	expect "rate $rate: how it is known" grep -Eq "\"left first\".*, ($how)[a-z ]*\]:" "$TMP/dump"
	stacks=$(stacks_of)
	expect_equal "rate $rate: same stacks again" "$stacks" "$(stacks_of)"
	expect "rate $rate: alive" kill -0 "$victim"
	finish_victim
	expect "rate $rate: settles" settle
	file=$(compgen -G "$OUT/deadlock.$victim.threads.1.pb.gz" || echo none)
	expect "rate $rate: profile valid" "$PPROFQ" "$file" check
	expect_equal "rate $rate: all threads in it" 3 "$(query "$file" total threads)"
	expect_equal "rate $rate: both lock calls in it" 2 "$(query "$file" has take_the_other threads)"
	fresh_out
done

# ---- every kind of wait, dumped over and over ------------------------------------------------------

# Those of the second program have to be stopped, and a CPU timer that expires in the microseconds
# between the look at what is pending and the way back to sleep ends the call (README, Limits).
for program in thread_waits thread_waits_framed; do
	hz=100
	[[ $program == thread_waits ]] || hz=0
	for rate in 0 1; do
		what="$program at $rate"
		start waits CPROF_CPU_HZ=$hz CPROF_BLOCK_RATE=$rate "$VICTIMS/$program" 6
		expect "$what: ready" wait_until 10 says waits ready
		failed=0
		expect "$what: first dump" dump
		cp "$TMP/dump" "$TMP/dump.kept"
		# As many as there is time for, at most 100.
		for ((i = 0; i < 100; i++)); do
			# One that spins is caught in each dump only where the machine is not too busy.
			grep -q '^in_spin' "$TMP/dump.kept" || cp "$TMP/dump" "$TMP/dump.kept"
			dump || says waits disturbed || failed=$((failed + 1))
			says waits disturbed && break
		done
		expect_equal "$what: $i dumps" 0 "$failed"
		status=0
		wait "$victim" || status=$?
		expect_equal "$what: nobody noticed" "ready disturbed 0, turns 1 status 0" "$(xargs <"$TMP/waits.out") status $status"
		cp "$TMP/dump.kept" "$TMP/dump"
		for name in poll ppoll select nanosleep clock_nanosleep read_pipe read_eventfd accept sem_timedwait \
			cond_timedwait mutex_lock rwlock_rdlock futex join spin; do
			expect "$what: $name" grep -Eq "(^| )in_$name run start_thread " <<<"$(functions "${name:0:15}")"
		done
		# These cannot be stopped without harm: what is known of them without is shown, and marked.
		# waitpid: its child's SIGCHLD, which is dropped, would come to others while it is stopped.
		for name in epoll_wait recv_timeout sigtimedwait semtimedop waitpid; do
			expect "$what: $name" grep -Eq "(^| )in_$name (run start_thread |\[frames above need)" <<<"$(functions "$name")"
		done
		expect_equal "$what: cprof itself is not shown" 0 "$(grep -c '^trampoline' "$TMP/dump" || true)"
		expect "$what: holder" grep -Eq '"mutex_lock" \[waiting for mutex 0x[0-9a-f]+ \(held by thread [0-9]+ "holder"\)' "$TMP/dump"
		settle || fail "$what: settles"
		fresh_out
	done
done

# ---- calls that a stop ends, caught on their way in, while a blocked signal is pending -------------------

start short CPROF_CPU_HZ=0 "$VICTIMS/short_calls" 4
expect "short calls: ready" wait_until 10 says short ready
for ((i = 0; i < 200; i++)); do
	dump || break
done
status=0
wait "$victim" || status=$?
expect_equal "short calls: $i dumps, nobody noticed" "ready interrupted 0 status 0" "$(xargs <"$TMP/short.out") status $status"
settle || fail "short calls: settles"
fresh_out

# ---- many threads, and threads that come and go -------------------------------------------------------

start many "$VICTIMS/thread_many" 1000
expect "1000 threads: ready" wait_until 20 says many ready
expect "1000 threads: dump" dump
expect_equal "1000 threads: all there" 1001 "$(grep -c '^thread [0-9]' "$TMP/dump")"
expect_equal "1000 threads: all stacks complete" 1000 "$(grep -c '^wait_at_the_gate' "$TMP/dump")"
kill -TERM "$victim"
status=0
wait "$victim" || status=$?
expect_equal "1000 threads: nobody noticed" "good 1000 status 0" "$(tail -1 "$TMP/many.out") status $status"
settle || fail "1000 threads: settles"
fresh_out

start churn "$VICTIMS/thread_churn" 20000 50
for ((i = 0; i < 20; i++)); do
	dump || kill -0 "$victim" 2>/dev/null && sleep 0.02
done
status=0
wait "$victim" || status=$?
expect_equal "churn: nobody noticed" "threads 20000 status 0" "$(head -1 "$TMP/churn.out") status $status"
settle || fail "churn: settles"
fresh_out

# ---- programs that somebody else has stopped --------------------------------------------------------------

start stopped "$VICTIMS/deadlock"
expect "stopped: runs" wait_until 10 says stopped left
expect "stopped: waits" wait_until 10 is_deadlocked
kill -STOP "$victim"
wait_until 10 grep -q '^State:.T' "/proc/$victim/status" || fail "stopped: stops"
expect "stopped: dump" dump
expect_equal "stopped: all there" 3 "$(grep -c '^thread [0-9].*\[stopped' "$TMP/dump")"
expect "stopped: still is" grep -q '^State:.T' "/proc/$victim/status"
kill -CONT "$victim"
if command -v strace >/dev/null; then
	strace -f -o "$TMP/strace.log" -p "$victim" &
	tracer=$!
	expect "traced: is" wait_until 10 grep -Eq '^TracerPid:.[1-9]' "/proc/$victim/status"
	expect "traced: dump" dump
	expect_equal "traced: said" 3 "$(grep -c '^thread [0-9].*traced by process' "$TMP/dump")"
	kill "$tracer"
	wait "$tracer" 2>/dev/null || true
else
	skip_check "no strace: a traced program"
fi
expect "stopped: alive" kill -0 "$victim"
finish_victim
settle || fail "stopped: settles"

# ---- who may look ------------------------------------------------------------------------------------------

# Under Yama only a declared process and its descendants may: the collector is declared.
if command -v strace >/dev/null; then
	env CPROF_OUT="$OUT" strace -o "$TMP/declared" -e trace=prctl -E LD_PRELOAD="$CPROF_LIB" \
		"$VICTIMS/deadlock" >"$TMP/declared.out" 2>/dev/null &
	tracer=$!
	expect "declared: runs" wait_until 10 grep -q left "$TMP/declared.out"
	declared=$(sed -nE 's/^prctl\(PR_SET_PTRACER, ([0-9]+)\).*/\1/p' "$TMP/declared")
	parents=$(for pid in $(our_collectors); do awk '/^PPid/ { print $2 }' "/proc/$pid/status"; done)
	expect "declared: the collector that others descend from" grep -qx "$declared" <<<"$parents"
	victim=$(xargs <"/proc/$tracer/task/$tracer/children")
	finish_victim
	wait "$tracer" || true
	settle || fail "declared: settles"
else
	skip_check "no strace: who is declared"
fi
finish
