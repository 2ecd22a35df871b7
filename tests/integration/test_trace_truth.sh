#!/bin/bash
# SPDX-License-Identifier: MIT
#
# A trace against what the program knows: every wait with its begin, end, object and who
# ended it, regions and tasks; as Perfetto's form says it, as `go tool trace` reads the other
# one, as its pages and `cprof trace` show it.  The same when the program is killed.
#
# timeout: 200
source "$(dirname "$0")/lib.sh"
source "$HERE/trace_lib.sh"

SUPPORT=$HERE/../support
ROUNDS=5

# arrows NAME: how many begin.
arrows()
{
	grep -o '"name":"[^"]*","ph":"s"' "$TMP/json" | grep -c "\"$1\"" || true
}

# shows PAGE WORD: it is served, and says that.
shows()
{
	page "$1" >"$TMP/page" && grep -q "$2" "$TMP/page"
}

# Every page that the tool has for a trace; profiles as pprof reads them.
check_all_pages()
{
	local path thread profile
	for path in / /trace "/goroutines" /usertasks /userregions /mmu; do
		expect "page $path" shows "$path" "<html\|<HTML\|<!DOCTYPE"
	done
	thread=$(page /goroutines | sed -n 's/.*href="\/goroutine?\([^"]*\)".*/\1/p' | head -1 | sed 's/&amp;/\&/g')
	expect "page of a thread's function" shows "/goroutine?$thread" "<table"
	expect "page of a region" shows "/userregion?type=outer" "<table"
	for profile in io block syscall sched regionio regionblock regionsyscall regionsched; do
		page "/$profile?raw=1&type=outer" >"$TMP/profile" || true
		expect "page /$profile is a profile" go tool pprof -raw "$TMP/profile"
	done
	page "/block?raw=1" >"$TMP/profile"
	pprof -traces "$TMP/profile" >"$TMP/block.text" 2>/dev/null
	expect "page /block: a lock's function" grep -q pthread_mutex_lock "$TMP/block.text"
}

check_pages()
{
	local type
	if viewer_open "$1"; then
		check_all_pages
		page /goroutines >"$TMP/goroutines"
		expect "goroutine analysis names threads by what they run" grep -q wait_on_command "$TMP/goroutines"
		page /usertasks >"$TMP/usertasks"
		expect "user tasks" grep -q checkout "$TMP/usertasks"
		page /userregions >"$TMP/userregions"
		for type in outer inner; do
			expect "user regions: $type" grep -q "$type" "$TMP/userregions"
		done
		page "/usertask?type=checkout" >"$TMP/usertask"
		expect "a message of a task" grep -q "in the middle" "$TMP/usertask"
		page "/jsontrace?start=0&end=1000000000000" >"$TMP/json"
		expect_range "arrows of the timeline: condition variables" $((3 * ROUNDS)) \
			"$(arrows 'unblock (sync.(\*Cond).Wait)')" 1000
		expect_range "arrows of the timeline: locks, semaphores, barriers, joins, signals" $((8 * ROUNDS)) \
			"$(arrows 'unblock (sync)')" 1000
		expect_equal "no arrows for what nobody ends" 0 "$(arrows 'unblock (sleep)')"
	else
		fail "go tool trace serves its pages"
		sed 's/^/      | /' "$TMP/viewer.log"
	fi
	viewer_close
}

# ---- the whole run ----------------------------------------------------------------------

profiled CPROF_TRACE=full "$VICTIMS/trace_truth" $ROUNDS >"$TMP/log"
expect_equal "waits that are known" $((ROUNDS * 13)) "$(grep -c ^wait "$TMP/log")"
perfetto=$(trace_of trace_truth perfetto-trace)
expect "every wait, region and task is in the trace, as it was" \
	python3 "$SUPPORT/trace_truth.py" "$TMP/log" "$perfetto"
python3 "$SUPPORT/trace_truth.py" "$TMP/log" "$perfetto" | head -2

perfetto_lines "$perfetto" >"$TMP/lines"
expect_equal "which signal ended a wait" $((2 * ROUNDS)) "$(grep -c '/waits end.* signal=SIGUSR2 ' "$TMP/lines")"

"$CPROF" trace "$perfetto" >"$TMP/text"
expect "text: a thread and its causes" grep -qE '^  waiter [0-9]+ .* [a-z]+\)? [0-9.]+[mu]?s \([0-9]+\)' "$TMP/text"
expect "text: a wait" grep -qE '^  10\. +[0-9.]+[mu]?s  .*, after [0-9.]+[mu]?s' "$TMP/text"
expect "text: who ended waits" grep -qE ' trace_truth [0-9]+ -> waiter [0-9]+, condition variable$' "$TMP/text"
expect "text: who sent signals" grep -qE " $((2 * ROUNDS)) .* trace_truth [0-9]+ -> waiter [0-9]+, signal$" "$TMP/text"
expect "text: a frame" grep -qE ' trace_truth.c:[0-9]+$' "$TMP/text"
expect "text: tasks" grep -qE "^  checkout: $ROUNDS; mean " "$TMP/text"
expect "text: regions" grep -qE "^  inner: $ROUNDS; mean " "$TMP/text"

if command -v go >/dev/null; then
	go_form=$(trace_of trace_truth trace)
	expect_equal "go tool trace reads it" 0 "$(status_of go tool trace -pprof=sync "$go_form")"
	cp "$TMP/stdout" "$TMP/sync"
	for type in net syscall sched; do
		expect_equal "go tool trace -pprof=$type" 0 "$(status_of go tool trace -pprof=$type "$go_form")"
		expect "its output is a profile" go tool pprof -raw "$TMP/stdout"
	done
	pprof -traces "$TMP/sync" >"$TMP/sync.text" 2>/dev/null
	for function in pthread_mutex_lock pthread_rwlock_rdlock pthread_cond_wait sem_wait pthread_barrier_wait sigwait; do
		expect "sync blocking profile: $function" grep -q "$function" "$TMP/sync.text"
	done
	check_pages "$go_form"
else
	skip_check "go tool trace: no go"
fi

# ---- killed in the middle -----------------------------------------------------------------

fresh_out
before=$(python3 -c 'import time; print(time.monotonic_ns())')
env LD_PRELOAD="$CPROF_LIB" CPROF_OUT="$OUT" CPROF_TRACE=flight "$VICTIMS/trace_truth" 1 hang >"$TMP/log" &
job=$!
wait_until 60 grep -q ^hang "$TMP/log"
sleep 0.3 # so that it is among the longest
kill -KILL $job
wait $job 2>/dev/null
settle
perfetto=$(trace_of trace_truth perfetto-trace)
expect "killed: all of it is there, and the wait that was not over" \
	python3 "$SUPPORT/trace_truth.py" "$TMP/log" "$perfetto"
begin=$(python3 "$SUPPORT/perfetto_text.py" "$perfetto" | sed -n '1s/.* monotonic=//p')
expect_range "it begins with the program" "$before" "$begin" "$(awk '$1 == "wait" || $1 == "hang" { print $(NF - 4); exit }' "$TMP/log")"
"$CPROF" trace "$perfetto" >"$TMP/text"
expect "text: a wait that is not over" grep -qE 'mutex 0x[0-9a-f]+, .*not over' "$TMP/text"
grep -A 1 -E 'mutex 0x[0-9a-f]+, .*not over' "$TMP/text" >"$TMP/not_over"
expect "text: its stack" grep -q 'pthread_mutex_lock' "$TMP/not_over"

# ---- what is no trace -----------------------------------------------------------------------

# expect_rejected WHAT FILE WORDS: one line that says so.
expect_rejected()
{
	expect_equal "$1: status" 1 "$(status_of "$CPROF" trace "$2")"
	expect_equal "$1: one line" 1 "$(wc -l <"$TMP/stderr")"
	expect "$1: says what it is" grep -q "$3" "$TMP/stderr"
}
head -c -1 "$perfetto" >"$TMP/cut"
: >"$TMP/empty"
expect_rejected "cut off" "$TMP/cut" "is cut off"
expect_rejected "empty" "$TMP/empty" "is empty"
expect_rejected "no file of bytes" /dev/null "is not a regular file; accepted: NAME.PID.perfetto-trace"
expect_rejected "text" "$HERE/lib.sh" "is not a Perfetto trace"
expect_rejected "Go's form" "$(trace_of trace_truth trace)" "go tool trace"
expect_rejected "no file" "$TMP/none" "No such file"
expect_rejected "directory" "$TMP" "directory"
expect_equal "no argument: status" 2 "$(status_of "$CPROF" trace)"
finish
