#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What a program says by cprof.h, and what it does to processes, is in both forms of a trace, once,
# each with the stack of the call.
set -euo pipefail
source "$(dirname "$0")/lib.sh"
source "$HERE/trace_lib.sh"

profiled CPROF_TRACE=full "$VICTIMS/trace_calls" >"$TMP/truth"
settle
pid=$(truth "$TMP/truth" pid)
forked=$(truth "$TMP/truth" forked)
vforked=$(truth "$TMP/truth" vforked)
thread=$(truth "$TMP/truth" thread)
expect_traces "of all calls" trace_calls
perfetto_lines "$(trace_of trace_calls perfetto-trace)" >"$TMP/lines"

# expect_call FUNCTION WORDS: one line has these words, and the function in its stack.
expect_call()
{
	expect_equal "$2" 1 "$(grep -F " $2" "$TMP/lines" | grep -c "[[ ]$1 " || true)"
}

expect_call begins_task "tasks begin work"
expect_call begins_region "begin part"
expect_call logs "instant message category=note"
expect_call forks "instant fork pid=$forked ["
expect_call vforks "instant fork pid=$vforked path=/bin/true ["
expect_call kills "instant send signal signal=SIGWINCH to process $pid ["
expect_call raises "instant send signal signal=SIGURG to thread $thread ["
expect_call kills_thread "instant send signal signal=SIGCHLD to thread $thread ["
expect_call becomes_true "instant exec path=/bin/true ["
expect_equal "signals that were only asked for are none" 3 "$(grep -c 'send signal' "$TMP/lines")"

expect_equal "what cprof.h puts into the program is not shown" 0 "$(grep -c 'cprof\.h' "$TMP/lines" || true)"

# serves PATH: what the viewer shows.
serves()
{
	curl -fsS --max-time 60 "$viewer$1"
}

listens()
{
	viewer=$(sed -n 's/.*listening on \(http:[^ ]*\).*/\1/p' "$TMP/viewer.log")
	[[ -n $viewer ]] && serves / >/dev/null
}

if command -v go >/dev/null && command -v curl >/dev/null; then
	viewer=
	BROWSER=true go_trace -http=127.0.0.1:0 "$(trace_of trace_calls trace)" >"$TMP/viewer.log" 2>&1 &
	job=$!
	expect "the viewer listens" wait_until 60 listens
	listens
	# Regions are on the pages of threads and tasks only.
	for page in "start=0&end=1000000000000" "goid=$pid" "taskid=1" "focustask=1"; do
		serves "/jsontrace?$page" >>"$TMP/json"
	done
	for function in begins_task ends_task begins_region ends_region logs forks vforks kills raises becomes_true; do
		expect "Go's form: the stack of $function" grep -q "\"name\":\"$function:" "$TMP/json"
	done
	kill $job
	wait $job 2>/dev/null || true
else
	skip_check "Go's form: go or curl is not installed"
fi
finish
