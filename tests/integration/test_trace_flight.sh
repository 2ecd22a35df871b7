#!/bin/bash
# SPDX-License-Identifier: MIT
# The flight recorder's window: saved on command, over HTTP, when a signal ends the program,
# and from a segment that was kept; it holds the last of what the program logged, and
# nothing is missing within it.
set -euo pipefail
source "$(dirname "$0")/lib.sh"
source "$HERE/trace_lib.sh"

# expect_last WHAT FILE THREADS: each thread's last line is the one that the table counts, and
# those before it follow one another.
expect_last()
{
	local thread want lines first last count
	lines=$(lines_of "$2")
	for ((thread = 0; thread < $3; thread++)); do
		want=$(logged_lines "$TMP/table" $thread)
		read -r first last count <<<"$(sed -n "s/^t$thread //p" <<<"$lines")"
		[[ $first != broken ]] || fail "$1: a line of t$thread is missing"
		expect_range "$1: the last line of t$thread" $((want - 1)) "${last:-none}" "$want"
		expect_equal "$1: t$thread: none is missing" "${count:-none}" $((${last:-0} - ${first:-0} + 1))
	done
}

# begin VARIABLE... THREADS LINES PAUSE END: starts trace_logs; its pid is in $PID.
begin()
{
	local settings=("${@:1:$#-4}")
	rm -f "$TMP/table"
	fresh_out
	env LD_PRELOAD="$CPROF_LIB" CPROF_OUT="$OUT" CPROF_TRACE=flight "${settings[@]}" \
		"$VICTIMS/trace_logs" "${@: -4}" "$TMP/table" >"$TMP/stdout" 2>"$TMP/stderr" &
	PID=$!
}

running_until()
{
	wait_until 20 eval "(( \$(logged_lines '$TMP/table' 0) >= $1 ))" || fail "$what: it logs"
}

has_all_lines()
{
	grep -q '^logged' "$TMP/stdout"
}

what="on command"
begin CPROF_HTTP=unix:"$TMP/http" 2 1000000 1000 exit
running_until 100
before=$(logged_lines "$TMP/table" 1)
files=("$OUT/trace_logs.$PID.1.perfetto-trace" "$OUT/trace_logs.$PID.1.trace")
expect_equal "$what: both files are named" "$(printf '%s\n' "${files[@]}")" "$("$CPROF" snapshot --flight "$PID" 2>&1)"
expect_forms "$what" "${files[@]}"
read -r _ first last count <<<"$(lines_of "${files[0]}" | sed -n 2p)"
expect_range "$what: up to now" "$((before - 1))" "$last" "$(logged_lines "$TMP/table" 1)"
expect_equal "$what: from the start, all lines" "0 $((last + 1))" "$first $count"
expect "$what, with profiles" "$CPROF" snapshot --flight --heap "$PID"
expect_equal "$what, with profiles: each has a number of its own" 2 \
	"$(find "$OUT" -name "*.heap.3.pb.gz" -o -name "*.2.trace" | wc -l)"

what="over HTTP"
ask()
{
	curl -s --unix-socket "$TMP/http" -D "$TMP/headers" -o "$TMP/body" -w '%{http_code}' "http://localhost$1"
}
expect_equal "$what: Go's form" 200 "$(ask /debug/trace/snapshot)"
expect_equal "$what: Go's form: is one" "go 1.19 trace" "$(head -c 13 "$TMP/body")"
expect_equal "$what: its type and name" "content-disposition: attachment; filename=\"trace\" content-type: application/octet-stream x-content-type-options: nosniff" \
	"$(tr -d '\r' <"$TMP/headers" | grep -iE '^(content-(type|disp)|x-content)' | sed 's/^[^:]*/\L&/' | sort | xargs -d '\n')"
expect_equal "$what: Perfetto's form" 200 "$(ask '/debug/trace/snapshot?format=perfetto')"
expect "$what: Perfetto's form is right" perfetto_lines "$TMP/body"
expect_equal "$what: another form" 400 "$(ask '/debug/trace/snapshot?format=xml')"
expect_equal "$what: another form: says what is accepted" 'invalid value for "format" - must be go or perfetto' "$(<"$TMP/body")"
expect "$what: the index leads there" bash -c "curl -s --unix-socket '$TMP/http' http://localhost/debug/pprof/ | grep -q '/debug/trace/snapshot'"
# A span: all lines of it, and nothing around it.
before=$(logged_lines "$TMP/table" 0)
expect_equal "$what: a span" 200 "$(ask '/debug/pprof/trace?seconds=0.5&format=perfetto')"
after=$(logged_lines "$TMP/table" 0)
read -r _ first last count <<<"$(lines_of "$TMP/body" | head -1)"
expect_range "$what: a span begins when it is asked for" "$before" "$first" "$after"
expect_range "$what: a span ends when it is answered" "$first" "$last" "$after"
expect_equal "$what: a span: all lines of it" $((last - first + 1)) "$count"
expect_equal "$what: the recorder goes on" "trace=flight" "$("$CPROF" set "$PID" cpu_hz=50 | grep -o 'trace=.*')"

what="set trace"
expect "$what=off" "$CPROF" set "$PID" trace=off
expect_equal "$what=off: no window" 1 "$(status_of "$CPROF" snapshot --flight "$PID")"
expect_equal "$what=off: says why" "cprof snapshot: process $PID: its flight recorder is off; \`cprof set PID trace=flight\` turns it on" \
	"$(<"$TMP/stderr")"
expect_equal "$what=off: not over HTTP either" 500 "$(ask /debug/trace/snapshot)"
expect "$what=flight" "$CPROF" set "$PID" trace=flight
before=$(logged_lines "$TMP/table" 0)
wait_until 20 eval "(( \$(logged_lines '$TMP/table' 0) > $before + 20 ))" || fail "$what: it logs"
expect "$what=flight: there is one again" "$CPROF" snapshot --flight "$PID"
expect_equal "$what=full: refused" 1 "$(status_of "$CPROF" set "$PID" trace=full)"
expect_equal "$what=full: says what is accepted" "cprof set: trace=full: accepted is off or flight" "$(<"$TMP/stderr")"

what="kill -9"
kill -9 "$PID"
settle
expect_traces "$what" trace_logs
expect_last "$what" "$(trace_of trace_logs perfetto-trace)" 2

# 16 chunks, each of 63 lines, and many more lines: an old part of the window is gone, but nothing within it is.
what="a window of few bytes"
begin CPROF_FLIGHT_BYTES=64K CPROF_CPU_HZ=0 CPROF_HEAP_RATE=0 3 4000 0 hang
wait_until 20 has_all_lines || fail "$what: it logs"
kill -9 "$PID"
settle
expect_traces "$what" trace_logs
file=$(trace_of trace_logs perfetto-trace)
expect_equal "$what: no line is missing between two" "" "$(lines_of "$file" | grep broken)"
expect_range "$what: holds what it has room for" 500 "$(lines_of "$file" | awk '{ n += $4 } END { print n + 0 }')" 1008

# The events that named them are gone from the window, and the kernel has forgotten the threads.
what="threads with names, killed"
begin CPROF_FLIGHT_BYTES=64K CPROF_CPU_HZ=0 CPROF_HEAP_RATE=0 2 10000000 10 hang
wait_until 20 eval "(( \$(logged_lines '$TMP/table' 0) > 5000 && \$(logged_lines '$TMP/table' 1) > 5000 ))" || fail "$what: they log"
kill -9 "$PID"
settle
perfetto_lines "$(trace_of trace_logs perfetto-trace)" >"$TMP/lines"
for thread in 0 1; do
	expect "$what: who says t$thread" grep -Eq "logger $thread/[0-9]+ instant t$thread n[0-9]+ category=count" "$TMP/lines"
	expect_equal "$what: nobody else says it" "" "$(grep " instant t$thread n" "$TMP/lines" | grep -v "logger $thread/" | head -n 3)"
done

for how in segv abort term; do
	what="ended by $how"
	begin 2 500 100 $how
	wait "$PID" 2>/dev/null || true
	settle
	expect_traces "$what" trace_logs
	expect_last "$what" "$(trace_of trace_logs perfetto-trace)" 2
done

what="ended by itself"
begin 2 500 100 exit
wait "$PID"
settle
expect_equal "$what: nothing is saved" "" "$(find "$OUT" -name '*trace' -printf '%f ')"
if printf '6.15\n%s\n' "$(uname -r)" | sort -CV; then
	what="ended by itself, past libc"
	begin 2 500 100 raw
	wait "$PID"
	settle
	expect_equal "$what: nothing is saved" "" "$(find "$OUT" -name '*trace' -printf '%f ')"
fi

what="killed for its memory"
# make_group: a memory group of 48 MB, of either version of cgroups.
make_group()
{
	local group
	if [[ -w /sys/fs/cgroup/memory/memory.limit_in_bytes ]]; then
		group=$(mktemp -d /sys/fs/cgroup/memory/cprof-test.XXXXXX) && echo 48M >"$group/memory.limit_in_bytes"
	elif grep -qw memory /sys/fs/cgroup/cgroup.subtree_control; then
		group=$(mktemp -d /sys/fs/cgroup/cprof-test.XXXXXX) && echo 48M >"$group/memory.max" &&
			{ [[ ! -e $group/memory.swap.max ]] || echo 0 >"$group/memory.swap.max"; }
	else
		return 1
	fi && echo "$group"
}
group=$(make_group 2>/dev/null || true)
if [[ -n $group ]]; then
	rm -f "$TMP/table"
	fresh_out
	# Only the program is in the group: its collector is started before.
	# shellcheck disable=SC2016 # for the inner shell
	LIMIT=60 profiled CPROF_TRACE=flight CPROF_FLIGHT_AGE=10m bash -c 'echo $$ >"$0" || exit; exec "$@"' "$group/cgroup.procs" \
		"$VICTIMS/trace_logs" 2 500 100 memory "$TMP/table" >/dev/null 2>&1 || true
	settle
	expect_traces "$what" trace_logs
	expect_last "$what" "$(trace_of trace_logs perfetto-trace)" 2
else
	skip_check "$what: no memory group can be made here"
fi
[[ -z $group ]] || rmdir "$group" || true

what="recovered"
begin CPROF_COLLECTOR=/nonexistent CPROF_LOG=error 2 500 100 exit
wait "$PID"
expect "$what" "$CPROF" recover "$OUT/.trace_logs.$PID.cprof"
expect_traces "$what" trace_logs
expect_last "$what" "$(trace_of trace_logs perfetto-trace)" 2
finish
