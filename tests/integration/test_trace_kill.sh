#!/bin/bash
# SPDX-License-Identifier: MIT
# CPROF_TRACE=full, and kill -9 of the program and of all of its collector at random moments: `cprof recover`
# makes both forms of what was left, in which no line is missing between the first and the last.
set -euo pipefail
source "$(dirname "$0")/lib.sh"
source "$HERE/trace_lib.sh"

RANDOM=${SEED:-4711}
KILLS=${KILLS:-4}
PAUSE=${PAUSE:--500}
THREADS=2

# begin DIRECTORY SETTING [MICROSECONDS]: a program that logs, as often as that; its pid is in $PID.
begin()
{
	mkdir -p "$1"
	rm -f "$TMP/table"
	env LD_PRELOAD="$CPROF_LIB" CPROF_OUT="$1" CPROF_TRACE=full CPROF_CPU_HZ=1000 CPROF_SEGMENT="$2" \
		"$VICTIMS/trace_logs" $THREADS 1000000 "${3:-400}" exit "$TMP/table" >/dev/null 2>"$TMP/stderr" &
	PID=$!
	wait_until 20 test -e "$TMP/table" || fail "it starts"
}

# kill_all DIRECTORY: at once.
kill_all()
{
	our_collectors "$1" | xargs -r kill -9 "$PID" 2>/dev/null || true
	wait "$PID" 2>/dev/null || true
	settle
}

# judge DIRECTORY SETTING: what is wrong with what was recovered.
judge()
{
	local OUT=$1 file thread lines first last count logged
	for file in "$1"/.*.trace-spool "$1"/.*.cprof; do
		[[ -e $file ]] || continue
		"$CPROF" recover "$file" --out "$1" >>"$TMP/recovered" 2>"$TMP/complaint" || echo "recover $(basename "$file"): $(<"$TMP/complaint")"
		break
	done
	file=$(trace_of trace_logs perfetto-trace)
	perfetto_lines "$file" >"$TMP/text" 2>&1 || echo "Perfetto's form: $(head -c 300 "$TMP/text")"
	# Killed before anybody had looked: an empty trace, which has nothing to be analysed.
	lines=$(lines_in <"$TMP/text")
	[[ -z $lines ]] || ! command -v go >/dev/null || go_trace -pprof=sync "$(trace_of trace_logs trace)" >/dev/null 2>"$TMP/complaint" ||
		echo "Go's form: $(head -3 "$TMP/complaint")"
	for ((thread = 0; thread < THREADS; thread++)); do
		logged=$(logged_lines "$TMP/table" $thread)
		read -r first last count <<<"$(sed -n "s/^t$thread //p" <<<"$lines")"
		[[ -n $first || $2 == file ]] || continue
		[[ $first == 0 && $count == $((last + 1)) ]] || ((logged == 0)) || echo "lines of t$thread: $first to $last, $count"
		# A line is logged first, and then counted.
		[[ $2 != file ]] || ((logged == 0)) || ((last + 1 == logged || last == logged)) ||
			echo "the last line of t$thread is $last, of $logged"
	done
	grep -q "\[log_lines \|\[sleep\|\[usleep\|\[pthread" "$TMP/text" || [[ $2 != file ]] || echo "no stacks"
}

wrong=0
for ((number = 0; number < KILLS; number++)); do
	setting=$( ((number % 2)) && echo file || echo memfd)
	directory=$TMP/kills/$number
	begin "$directory" "$setting"
	sleep "$(printf '0.%06d' $((RANDOM * 15)))"
	kill_all "$directory"
	complaint=$(judge "$directory" "$setting")
	[[ -z $complaint ]] && continue
	wrong=$((wrong + 1))
	echo "      | $setting, $number: $complaint; $(find "$directory" -type f -printf '%f ')"
done
((wrong)) || tally "kill -9 of everybody while a whole run is traced" "$KILLS"
expect_equal "of $KILLS kills of everybody, with something unreadable or missing" 0 "$wrong"

# The program goes on, starts another collector, and that goes on with the spool.  It looks for one after so many CPU
# samples: a program that works between its lines has another soon, one that rests writes more than there is room for.
what="all of the collector killed"
fresh_out
begin "$OUT" memfd "$PAUSE"
wait_until 20 eval "(( \$(logged_lines '$TMP/table' 0) >= 500 ))" || fail "$what: it logs"
our_collectors "$OUT" | xargs kill -9
has_collector() { [[ -n $(our_collectors "$OUT") ]]; }
wait_until 60 has_collector || fail "$what: another one comes"
before=$(logged_lines "$TMP/table" 0)
wait_until 20 eval "(( \$(logged_lines '$TMP/table' 0) >= $before + 500 ))" || fail "$what: it goes on"
kill "$PID"
wait "$PID" 2>/dev/null || true
settle
expect_traces "$what" trace_logs
# What was logged long before the end may be in parts of its own.
find "$OUT" -name 'trace_logs.*.*.perfetto-trace' -printf '%f\n' | sort -t. -k3,3n | sed "s|^|$OUT/|" >"$TMP/parts"
trace_of trace_logs perfetto-trace >>"$TMP/parts"
while read -r file; do perfetto_lines "$file"; done <"$TMP/parts" >"$TMP/text"
sed -nE 's/.* instant t([0-9]+) n([0-9]+) category=count.*/\1 \2/p' "$TMP/text" >"$TMP/seen"
read -r gaps dropped <<<"$(gaps_in <"$TMP/text")"
missing=0
for ((thread = 0; thread < THREADS; thread++)); do
	logged=$(logged_lines "$TMP/table" $thread)
	read -r first last count <<<"$(awk -v t=$thread '$1 == t { if (!count++) first = $2; last = $2 } END { print first, last, count }' "$TMP/seen")"
	expect_equal "$what: t$thread: from the first line" 0 "$first"
	expect_range "$what: t$thread: to the last line" $((logged - 1)) "$last" "$logged"
	missing=$((missing + last + 1 - count))
done
# What did not fit in the meantime is in gaps, which say how much: lines, and as many waits.
expect_range "$what: what is missing is in $gaps gaps" "$missing" "$dropped" $((3 * missing + 300))
expect_equal "$what: nothing is there twice" "" "$(sort "$TMP/seen" | uniq -d)"
expect_equal "$what: nothing else is left" "" "$(find "$OUT" -name '.*' -type f -printf '%f ')"
finish
