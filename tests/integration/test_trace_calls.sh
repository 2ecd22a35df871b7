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
traced=$TMP/traced
expect_traces "of all calls" trace_calls
perfetto_lines "$(trace_of trace_calls perfetto-trace)" >"$TMP/lines"
cp "$(trace_of trace_calls trace)" "$traced"

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
expect_call kills_tid "instant send signal signal=SIGCHLD to thread $pid of process $pid ["
expect_call calls_kernel "instant send signal signal=SIGWINCH to process $pid ["
expect_call calls_kernel "instant send signal signal=SIGURG to thread $pid ["
expect_call calls_kernel "instant send signal signal=SIGCONT to thread $pid of process $pid ["
expect_call takes "instant take signal signal=SIGUSR2 from process $(truth "$TMP/truth" sender) ["
expect "a wait says which signal ended it" grep -q '/waits end.* signal=SIGUSR2$' "$TMP/lines"
expect_call becomes_true "instant exec path=/bin/true ["
expect_equal "signals that were only asked for are none" 7 "$(grep -c 'send signal' "$TMP/lines")"

expect_equal "what cprof.h puts into the program is not shown" 0 "$(grep -c 'cprof\.h' "$TMP/lines" || true)"

# Programs that are started: nothing is different for who starts them, and each is there with its stack.
# Sorted: a child that was just started says its line when it comes to it.
what="programs that are started"
LIMIT=60 bounded "$VICTIMS/starts_programs" >"$TMP/plain" 2>/dev/null
for settings in CPROF_TRACE=off CPROF_TRACE=flight; do
	LIMIT=60 profiled $settings "$VICTIMS/starts_programs" >"$TMP/stdout" 2>"$TMP/pids"
	expect_equal "$what, $settings: it says the same" "$(sort "$TMP/plain")" "$(sort "$TMP/stdout")"
done
fresh_out
LIMIT=60 profiled CPROF_TRACE=full "$VICTIMS/starts_programs" >"$TMP/stdout" 2>"$TMP/pids"
expect_equal "$what, CPROF_TRACE=full: it says the same" "$(sort "$TMP/plain")" "$(sort "$TMP/stdout")"
settle
file=$(grep -l spawns_nobody_s "$OUT"/starts_programs.*.perfetto-trace)
expect_forms "$what" "$file" "${file%.perfetto-trace}.trace"
perfetto_lines "$file" >"$TMP/lines"
pid_of() { sed -n "s/^$1 //p" "$TMP/pids"; }
expect_call spawns "instant fork pid=$(pid_of spawned) path=/bin/sh ["
expect_call spawns_by_name "instant fork pid=$(pid_of 'spawned by name') path=true ["
expect_call spawns_nobody_s "instant fork pid="
expect_call asks_shell "instant fork path=/bin/sh ["
expect_call opens_shell "instant fork path=/bin/sh ["
expect_call forks_plainly "instant fork pid=$(pid_of forked) ["
expect_call becomes_file_at "instant fork pid=$(pid_of 'became at') path=true ["
expect_call becomes_file_at "instant fork pid=$(pid_of 'became empty') path=$(readlink -f /bin/true) ["
expect_call becomes_file "instant exec path=$(readlink -f /bin/true) ["
expect_equal "$what: all children" 8 "$(grep -c 'instant fork' "$TMP/lines")"

if command -v go >/dev/null && command -v curl >/dev/null; then
	expect "the viewer listens" viewer_open "$traced"
	# Regions are on the pages of threads and tasks only.
	for page in "start=0&end=1000000000000" "goid=$pid" "taskid=1" "focustask=1"; do
		page "/jsontrace?$page" >>"$TMP/json"
	done
	for function in begins_task ends_task begins_region ends_region logs forks vforks kills raises takes becomes_true; do
		expect "Go's form: the stack of $function" grep -q "\"name\":\"$function:" "$TMP/json"
	done
	viewer_close
else
	skip_check "Go's form: go or curl is not installed"
fi
finish
