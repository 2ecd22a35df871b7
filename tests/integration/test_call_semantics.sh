#!/bin/bash
# SPDX-License-Identifier: MIT
# The calls that may block give what they give without cprof: results, errno, interruption, cancellation,
# jumps out of them; whether a trace is taken or not.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

# run WAY [VARIABLE=VALUE...]
run()
{
	local way=$1 status=0
	shift
	mkdir -p "$TMP/$way/out" "$TMP/$way/cwd"
	(cd "$TMP/$way/cwd" && bounded env "$@" "$VICTIMS/call_semantics") >"$TMP/$way/stdout" 2>"$TMP/$way/stderr" </dev/null || status=$?
	echo "status $status" >>"$TMP/$way/stdout"
}

under()
{
	run "$1" LD_PRELOAD="$CPROF_LIB" CPROF_OUT="$TMP/$1/out" "${@:2}"
}

run plain &
under off &
under on CPROF_TRACE=flight CPROF_BLOCK_RATE=1 &
under busy CPROF_TRACE=flight CPROF_CPU_HZ=1000 CPROF_HEAP_RATE=1 CPROF_FLIGHT_BYTES=64K &
wait
expect_equal "plain: exit status" "status 0" "$(tail -1 "$TMP/plain/stdout")"
expect_range "lines of output" 230 "$(wc -l <"$TMP/plain/stdout")" 1000
expect_equal "every call ends as it should" "" "$(grep -E 'came back|not cancelled' "$TMP/plain/stdout" || true)"
for way in off on busy; do
	expect "$way: the same" diff "$TMP/plain/stdout" "$TMP/$way/stdout"
	expect "$way: nothing more on stderr" diff "$TMP/plain/stderr" "$TMP/$way/stderr"
done
expect "settles" settle

# Others who interpose, before us and behind us, and programs with functions of their own by these names.
victim=$VICTIMS/own_calls
want=$(bounded "$victim")
seen=$(bounded env LD_PRELOAD="$VICTIMS/libcalls_counted.so" "$victim")
for trace in off flight; do
	expect_equal "own functions, trace $trace" "$want" "$(profiled CPROF_TRACE=$trace "$victim")"
	expect_equal "another interposer before, trace $trace" "$seen" \
		"$(bounded env LD_PRELOAD="$VICTIMS/libcalls_counted.so:$CPROF_LIB" CPROF_OUT="$OUT" CPROF_TRACE=$trace "$victim")"
	expect_equal "another interposer behind, trace $trace" "$seen" \
		"$(bounded env LD_PRELOAD="$CPROF_LIB:$VICTIMS/libcalls_counted.so" CPROF_OUT="$OUT" CPROF_TRACE=$trace "$victim")"
done
expect_equal "it sees them all" "another interposer saw read 1 poll 2 nanosleep 1" "$(tail -1 <<<"$seen")"

# They wait for the world, not for other threads: no profile shows them.
block=$(grep -lE . "$TMP"/on/out/*.block.pb.gz | head -1)
expect "a valid block profile" "$PPROFQ" "$block" check
expect_equal "no call is in the block profile" "" \
	"$(query "$block" stacks 0 | grep -E '^[0-9]+ (read|write|poll|nanosleep|accept|connect|wait|sig)' || true)"
finish
