#!/bin/bash
# SPDX-License-Identifier: MIT
# A program that has its own use for SIGPROF, SIGUSR1, ITIMER_PROF and signal masks gets what it asked for.
set -euo pipefail
source "$(dirname "$0")/lib.sh"
steady_cpu

bounded "${STEADY[@]}" "$VICTIMS/own_signals" >"$TMP/plain" 2>&1
expect_equal "exit status" 0 "$(status_of profiled CPROF_CPU_HZ=250 "$VICTIMS/own_signals")"
expect "same observations" diff "$TMP/plain" "$TMP/stdout"
expect_equal "nothing said" "" "$(<"$TMP/stderr")"
expect "settles" settle
expect_all_valid "own signals"
# 300 + 50 + 50 ms in the first process: with its own handler, ignoring, and in a thread that blocks all.
total=0
for file in "$OUT"/own_signals.*.cpu.pb.gz; do total=$((total + $(query "$file" has spin_own cpu) / 1000000)); done
expect_range "sampled all the same, ms of 500" 440 "$total" 540

# SIGUSR1 ignored when the program starts (nohup and the like do that for SIGHUP): left alone.
fresh_out
mkfifo "$TMP/hold"
(trap '' USR1; profiled "$VICTIMS/steady" 50 0 wait >"$TMP/log" 2>&1 <"$TMP/hold") &
shell_pid=$!
exec 9>"$TMP/hold"
wait_until 10 grep -q ready "$TMP/log"
kill -USR1 "$(awk '/ready/ { print $2 }' "$TMP/log")"
sleep 0.3
exec 9>&-
expect "inherited SIG_IGN: runs on" wait "$shell_pid"
expect_equal "inherited SIG_IGN: no snapshot" "" "$(compgen -G "$OUT/*.heap.1.pb.gz" || true)"

# snapshot_by SIGNAL VARIABLES...: a steady program gets two snapshots.
snapshot_by()
{
	local signal=$1 pid
	shift
	fresh_out
	profiled CPROF_HEAP_RATE=1 "$@" "$VICTIMS/steady" 50 0 wait >"$TMP/log" 2>&1 <"$TMP/hold" &
	shell_pid=$!
	exec 9>"$TMP/hold"
	wait_until 10 grep -q ready "$TMP/log"
	pid=$(awk '/ready/ { print $2 }' "$TMP/log")
	kill "-$signal" "$pid"
	expect "$signal: first snapshot" wait_until 10 test -e "$OUT/steady.$pid.heap.1.pb.gz"
	kill "-$signal" "$pid"
	expect "$signal: second snapshot" wait_until 10 test -e "$OUT/steady.$pid.heap.2.pb.gz"
	exec 9>&-
	expect "$signal: program ends as usual" wait "$shell_pid"
	expect_all_valid "$signal"
	expect_equal "$signal: snapshot exact" "1000 100000 600 60000" \
		"$(for t in alloc_objects alloc_space inuse_objects inuse_space; do query "$OUT/steady.$pid.heap.2.pb.gz" has steady_allocates $t; done | xargs)"
}
snapshot_by USR1
snapshot_by USR2 CPROF_SIGNAL=USR2
snapshot_by USR2 CPROF_SIGNAL=SIGUSR2

# io_uring_enter() that waits ends with EINTR for any signal: for those of our timers it goes on.
code=$(status_of profiled "$VICTIMS/uring_waits")
if ((code == 77)); then
	skip_check "io_uring cannot be used here"
elif [[ $(<"$TMP/stderr") != sends ]]; then
	skip_check "/proc/self/timers is not there: no signals to send"
else
	expect_equal "waits of io_uring" $'20 waits, interrupted 0\nits own signal: EINTR, handled 1' "$(<"$TMP/stdout")"
fi
finish
