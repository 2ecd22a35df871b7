#!/bin/bash
# SPDX-License-Identifier: MIT
# What asks for the flight recorder's window: a slow region or task, the program, a signal.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

# windows: how many were saved.
windows()
{
	compgen -G "$OUT/flight_windows.*.[0-9]*.perfetto-trace" | wc -l || true
}

# expect_windows WHAT COUNT [VARIABLE=VALUE...] -- WORD...
expect_windows()
{
	local what=$1 count=$2 variables=()
	shift 2
	while [[ $1 != -- ]]; do
		variables+=("$1")
		shift
	done
	shift
	fresh_out
	profiled CPROF_TRACE=flight "${variables[@]}" "$VICTIMS/flight_windows" "$@" >"$TMP/stdout" 2>"$TMP/stderr" || true
	first_profile "$OUT"
	settle # the windows may come after it
	expect_equal "$what: windows" "$count" "$(windows)"
	expect_equal "$what: nothing said" "" "$(<"$TMP/stderr")"
}

expect_windows "nobody asks" 0 -- fast slow task
expect_windows "a slow region" 1 CPROF_FLIGHT_SLOW=checkout:10ms -- slow fast
expect_windows "a slow task" 1 CPROF_FLIGHT_SLOW=job:10ms -- slow task
expect_windows "slower than it may be, once per window" 1 CPROF_FLIGHT_SLOW=checkout:10ms,job:10ms -- slow task slow
expect_windows "not as slow as that" 0 CPROF_FLIGHT_SLOW=checkout:1h,job:1h -- slow task
expect_windows "another name" 0 CPROF_FLIGHT_SLOW=check:1ns,checkouts:1ns -- slow
expect_windows "the program asks" 1 -- fast ask
expect_equal "and is told" "ask 0" "$(<"$TMP/stdout")"

expect "what it said before is in it" grep -q asked "$OUT"/flight_windows.*.1.perfetto-trace

fresh_out
expect_equal "no flight recorder runs" "ask -61" "$(profiled "$VICTIMS/flight_windows" ask)"

# A signal, as for snapshots.
fresh_out
mkfifo "$TMP/in"
profiled CPROF_TRACE=flight CPROF_FLIGHT_SIGNAL=USR2 "$VICTIMS/flight_windows" slow wait <"$TMP/in" >"$TMP/stdout" &
exec 3>"$TMP/in"
wait_until 20 grep -q waits "$TMP/stdout"
pid=$(pgrep -f "^$VICTIMS/flight_windows slow wait" | head -1)
kill -USR2 "$pid"
expect "a signal saves the window" wait_until 20 compgen -G "$OUT/flight_windows.$pid.1.perfetto-trace"
expect "the program goes on" kill -0 "$pid"
exec 3>&-
wait

# What cannot be read is said in one line, and the program runs.
for value in checkout checkout: :1s checkout:0 checkout:1x 'checkout:1s,' a:1s,b,c:1s; do
	fresh_out
	profiled CPROF_TRACE=flight "CPROF_FLIGHT_SLOW=$value" "$VICTIMS/flight_windows" slow 2>"$TMP/stderr"
	expect_equal "'$value' is refused" "1 $value" \
		"$(wc -l <"$TMP/stderr") $(sed -nE 's/.*CPROF_FLIGHT_SLOW=([^ ]*): accepted is up to 8 of name:duration.*/\1/p' "$TMP/stderr")"
done
fresh_out
profiled CPROF_TRACE=flight CPROF_FLIGHT_SIGNAL=USR1 "$VICTIMS/flight_windows" 2>"$TMP/stderr"
expect_equal "one signal for two things is refused" 1 "$(grep -c 'CPROF_FLIGHT_SIGNAL=USR1: accepted is a signal' "$TMP/stderr")"
finish
