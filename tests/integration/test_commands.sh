#!/bin/bash
# SPDX-License-Identifier: MIT
# cprof list, set and snapshot: what they show is so, what they change takes effect at once,
# and the profiles stay right across each change.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

# begin [VARIABLE=VALUE...] PROGRAM [ARGUMENT...]: runs in the background, told through `tell`.  Sets PID.
begin()
{
	fresh_out
	rm -f "$TMP/in" && mkfifo "$TMP/in"
	"${STEADY[@]}" env LD_PRELOAD="$CPROF_LIB" CPROF_OUT="$OUT" "$@" >"$TMP/said" 2>"$TMP/stderr" <"$TMP/in" &
	PID=$!
	exec 9>"$TMP/in"
	wait_until 20 grep -q ready "$TMP/said"
	orders=0
	wait_until 20 listed "$PID"
}

listed()
{
	"$CPROF" list 2>/dev/null | awk -v pid="$1" '$1 == pid { found = 1 } END { exit !found }'
}

# tell ORDER...: and waits until it is done.
tell()
{
	echo "$*" >&9
	orders=$((orders + 1))
	wait_until 60 done_with $orders || fail "the program does not answer to '$*'"
}

done_with()
{
	(($(grep -c "done" "$TMP/said") >= $1))
}

# end: lets it end; its figures are in $TMP/said.
end()
{
	local status=0
	exec 9>&-
	wait "$PID" || status=$?
	expect_equal "$what: exit status" 0 "$status"
	settle || fail "$what: collectors are left"
	expect_equal "$what: nothing on stderr" "" "$(<"$TMP/stderr")"
}

# set_rates RATE=VALUE...: what is in force afterwards is in $TMP/stdout.
set_rates()
{
	expect_equal "$what: set $*" 0 "$(status_of "$CPROF" set "$PID" "$@")"
}

# column TITLE: of this program's line in the list.
column()
{
	"$CPROF" list | awk -v pid="$PID" -v title="$1" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == title) at = i }
		$1 == pid { print $at }'
}

# refused WHAT WORDS COMMAND...: status 1, nothing on stdout, one line that has the words.
refused()
{
	local about=$1 words=$2
	shift 2
	expect_equal "$about: status" 1 "$(status_of bounded "$@")"
	expect_equal "$about: nothing on stdout" "" "$(<"$TMP/stdout")"
	expect_equal "$about: one line" 1 "$(wc -l <"$TMP/stderr")"
	expect "$about: it says $words" grep -q -- "$words" "$TMP/stderr"
}

# ---- nothing there ----
what="list"
expect_equal "$what: status" 0 "$(status_of "$CPROF" list)"

# ---- what list shows ----
what="list"
begin CPROF_HEAP_RATE=64K CPROF_CPU_HZ=50 CPROF_BLOCK_RATE=10us CPROF_MEM=16M "$VICTIMS/rate_change"
expect_equal "$what: rates" "50 64K 10us 1" \
	"$(column CPU_HZ) $(column HEAP_RATE) $(column BLOCK_RATE) $(column MUTEX_FRACTION)"
expect_equal "$what: who it is" "rate_change $(id -un) 1" "$(column NAME) $(column USER) $(column THREADS)"
expect "$what: segment" grep -q '/16M$' <<<"$(column SEGMENT)"
tell burn 1 300
tell alloc 1 1000 1000000
sampled_so_far()
{
	[[ $(column CPU) != 0/* && $(column ALLOCATED) != 0/* ]]
}
expect "$what: samples grow" wait_until 10 sampled_so_far
what="set"
set_rates cpu_hz=0 heap_rate=2M block_rate=0 mutex_fraction=7
expect_equal "$what: says what is in force" "cpu_hz=0 heap_rate=2M block_rate=0 mutex_fraction=7 trace=off" "$(<"$TMP/stdout")"
expect_equal "$what: so does list" "0 2M 0 7" \
	"$(column CPU_HZ) $(column HEAP_RATE) $(column BLOCK_RATE) $(column MUTEX_FRACTION)"
set_rates heap_rate=1
expect_equal "$what: the others stay" "cpu_hz=0 heap_rate=1 block_rate=0 mutex_fraction=7 trace=off" "$(<"$TMP/stdout")"

# ---- bad input ----
what="bad input"
for command in set snapshot; do
	rate=$([[ $command == set ]] && echo heap_rate=1 || true)
	# shellcheck disable=SC2086
	for pid in 0 -5 12x 99999999999; do
		[[ $command == set && $pid == -5 ]] || refused "$command PID $pid" accepted "$CPROF" $command $pid $rate
	done
	# shellcheck disable=SC2086
	{
		refused "$command without PID" "PID is missing" "$CPROF" $command $rate
		refused "$command of nobody" "there is no process 4194999" "$CPROF" $command 4194999 $rate
		refused "$command of the unprofiled" "process $$ is not profiled" "$CPROF" $command $$ $rate
		refused "$command with an unknown flag" "--loud.*accepted" "$CPROF" $command "$PID" --loud $rate
	}
done
refused "set without rate" "rate is missing" "$CPROF" set "$PID"
refused "list with an argument" "accepted" "$CPROF" list "$PID"
for rate in cpu_hz=fast cpu_hz=10001 cpu_hz=-1 cpu_hz= heap_rate=12Q heap_rate=2000G block_rate=2h block_rate=1d \
	mutex_fraction=1000001 haep_rate=1 CPROF_HEAP_RATE=1; do
	refused "set $rate" "$rate.*accepted" "$CPROF" set "$PID" $rate
done
refused "two PIDs" "$$" "$CPROF" snapshot "$PID" $$
expect_equal "bad input changed nothing" "0 1 0 7" \
	"$(column CPU_HZ) $(column HEAP_RATE) $(column BLOCK_RATE) $(column MUTEX_FRACTION)"

# ---- another user ----
if [[ $(id -u) == 0 ]] && nobody=$(id -u nobody 2>/dev/null); then
	as_nobody=(setpriv --reuid "$nobody" --clear-groups)
	cp "$CPROF" "$TMP/tool" && chmod 755 "$TMP" "$TMP/tool"
	refused "another user's set" "belongs to another user (root)" "${as_nobody[@]}" "$TMP/tool" set "$PID" heap_rate=2
	refused "another user's snapshot" "belongs to another user (root)" "${as_nobody[@]}" "$TMP/tool" snapshot "$PID"
	"${as_nobody[@]}" "$TMP/tool" list >"$TMP/stdout" 2>"$TMP/stderr" || fail "another user's list"
	expect_equal "another user's list does not show it" "" "$(awk -v pid="$PID" '$1 == pid' "$TMP/stdout")"
	expect_equal "another user changed nothing" 1 "$(column HEAP_RATE)"
else
	skip_check "another user: not root"
fi

# ---- snapshots ----
what="snapshot"
expect_equal "$what: status" 0 "$(status_of "$CPROF" snapshot --heap --cpu "$PID")"
expect_equal "$what: paths, one a line" "$OUT/rate_change.$PID.cpu.1.pb.gz
$OUT/rate_change.$PID.heap.1.pb.gz" "$(<"$TMP/stdout")"
expect_equal "$what: nothing on stderr" "" "$(<"$TMP/stderr")"
expect_equal "$what without kinds" 0 "$(status_of "$CPROF" snapshot "$PID")"
expect_equal "$what without kinds: all that is or was on" "cpu.2 heap.2 block.2 mutex.2 threadcreate.2" \
	"$(sed -E "s@$OUT/rate_change.$PID.(.*).pb.gz@\1@" "$TMP/stdout" | paste -sd' ')"
expect_all_valid "$what"
# The shell's own way is the same, and both count on.
kill -USR1 "$PID"
expect "$what: the signal's comes next" wait_until 20 test -e "$OUT/rate_change.$PID.heap.3.pb.gz"
what="snapshot --threads"
expect_equal "$what: status" 0 "$(status_of "$CPROF" snapshot --threads "$PID")"
expect "$what: the dump as text on stdout" grep -q '^main(' "$TMP/stdout"
expect_equal "$what: the path on stderr" "$OUT/rate_change.$PID.threads.4.pb.gz" "$(<"$TMP/stderr")"
expect_equal "$what: the profile has this thread" 1 "$(query "$(<"$TMP/stderr")" has main threads)"
what="snapshot --all"
expect_equal "$what: status" 0 "$(status_of "$CPROF" snapshot "$PID" --all)"
expect_equal "$what: all kinds as files" "cpu heap block mutex threadcreate threads" \
	"$(sed -E "s@$OUT/rate_change.$PID.([a-z]*).5.pb.gz@\1@" "$TMP/stdout" | paste -sd' ')"
what="snapshot"
end
expect_all_valid "$what: at the end"
expect "$what: rates that changed are named" grep -q 'rate was changed' <<<"$(query "$(profile rate_change heap)" comments)"
refused "an ended process" "there is no process $PID" "$CPROF" set "$PID" heap_rate=1

# ---- numbers across changes: heap ----
# Each change is followed by a settling run, which uses up the threshold that was drawn before it, or,
# after 0, the 64 KiB within which a thread looks again.
what="heap rates"
settle_heap="alloc 1 64000 1000"
begin CPROF_HEAP_RATE=512K CPROF_CPU_HZ=0 "$VICTIMS/rate_change"
tell alloc 2 64000 1000
set_rates heap_rate=1
tell "$settle_heap"
tell alloc 3 20000 500
set_rates heap_rate=4K
tell "$settle_heap"
tell alloc 4 20000 1000
set_rates heap_rate=0
tell alloc 5 64000 1000
expect_equal "$what: snapshot while it is off" 0 "$(status_of "$CPROF" snapshot --heap "$PID")"
expect_equal "$what: nothing is counted while it is off" "0 0" \
	"$(query "$(<"$TMP/stdout")" has alloc_5 alloc_objects) $(query "$(<"$TMP/stdout")" has alloc_5 inuse_space)"
set_rates heap_rate=64K
tell "$settle_heap"
tell alloc 5 64000 1000
end
heap=$(profile rate_change heap)
expect_profile rate_change heap "$what"
expect_equal "$what: exact at rate 1" "20000 10000000 10000 5000000" \
	"$(for type in alloc_objects alloc_space inuse_objects inuse_space; do query "$heap" has alloc_3 $type; done | paste -sd' ')"
# estimate SITE TYPE BLOCKS SIZE RATE: within 4 standard errors, sigma^2 = n s^2 (1-p)/p.
estimate()
{
	local low high
	read -r low high < <(awk -v n="$3" -v s="$4" -v rate="$5" 'BEGIN {
		p = 1 - exp(-s / rate); d = 4 * sqrt(n * s * s * (1 - p) / p); printf "%.0f %.0f\n", n * s - d, n * s + d }')
	expect_range "$what: $1 $2 at $5" "$low" "$(query "$heap" has "$1" "$2")" "$high"
}
estimate alloc_2 alloc_space 64000 1000 524288
estimate alloc_2 inuse_space 32000 1000 524288
estimate alloc_4 alloc_space 20000 1000 4096
estimate alloc_4 inuse_space 10000 1000 4096
estimate alloc_5 alloc_space 64000 1000 65536
estimate alloc_5 inuse_space 32000 1000 65536
expect_equal "$what: no timers, so the CPU rate is refused" 0 "$(compgen -G "$OUT/*.cpu.pb.gz" | wc -l)"

# ---- numbers across changes: off at the start ----
what="off at the start"
begin CPROF_HEAP_RATE=0 CPROF_CPU_HZ=0 CPROF_MUTEX_FRACTION=1 "$VICTIMS/rate_change"
tell alloc 1 1000 1000
refused "$what: CPU" "CPROF_CPU_HZ=0" "$CPROF" set "$PID" cpu_hz=100
refused "$what: heap snapshot" "heap profile is off" "$CPROF" snapshot "$PID" --heap
refused "$what: block snapshot" "block profile is off" "$CPROF" snapshot "$PID" --block
set_rates heap_rate=1 cpu_hz=0
tell alloc 2 1000 1000
tell alloc 3 1000 100
end
expect_equal "$what: exact from then on" "1000 100000 500 50000" \
	"$(for type in alloc_objects alloc_space inuse_objects inuse_space; do query "$(profile rate_change heap)" has alloc_3 $type; done | paste -sd' ')"
what="own malloc"
if [[ -x $VICTIMS/own_malloc ]]; then
	begin_own()
	{
		fresh_out
		profiled CPROF_HEAP_RATE=0 "$VICTIMS/own_malloc" 3000 >/dev/null 2>&1 &
		wait_until 10 own_listed
	}
	own_listed()
	{
		PID=$("$CPROF" list 2>/dev/null | awk '$2 == "own_malloc" { print $1 }')
		[[ -n $PID ]]
	}
	if begin_own; then
		refused "$what: heap rate" "defines malloc itself" "$CPROF" set "$PID" heap_rate=1
		kill "$PID"
	else
		fail "$what: not listed"
	fi
	wait || true
	settle || true
fi

# ---- numbers across changes: CPU ----
# A site gets what its own clock says, to 2 % and what a change may take: the first expiry after it is
# uniform in a period, and its samples come with the kernel's tick.
what="CPU rates"
steady_cpu
begin CPROF_HEAP_RATE=0 CPROF_CPU_HZ=100 "$VICTIMS/rate_change"
tell burn 1 1000
set_rates cpu_hz=1000
tell burn 2 1000
set_rates cpu_hz=0
tell burn 3 500
for hz in 20 21 20 21 20 21 20 21; do
	set_rates cpu_hz=$hz
	tell burn 4 $((hz == 20 ? 500 : 200))
done
set_rates cpu_hz=100
tell burn 5 1000
end
cpu=$(profile rate_change cpu)
expect_profile rate_change cpu "$what"
# site SITE BELOW_MS ABOVE_MS
site()
{
	local truth_ms
	truth_ms=$(($(truth "$TMP/said" "burn_$1") / 1000000))
	expect_steady "$what: site $1 in ms, of $truth_ms" $((truth_ms * 98 / 100 - $2)) \
		$(($(query "$cpu" has "burn_$1" cpu) / 1000000)) $((truth_ms * 102 / 100 + $3))
}
site 1 20 20
site 2 20 20
# Of 500: what was due at the last rate comes with the first tick that finds it running.
expect_steady "$what: while it is off, in ms" 0 $(($(query "$cpu" has burn_3 cpu) / 1000000)) 100
# At rest it looks once a second of CPU time, half of which burn_3 has had.
site 4 1000 60
site 5 60 60
STEADY=()
expect_equal "$what: sampled + lost + not covered = clock" yes "$(query "$cpu" comments |
	awk '/cpu clock/ { for (i = 1; i <= NF; i++) if ($i == "clock") c = $(i + 1); else if ($i == "sampled") s = $(i + 1)
		else if ($i == "lost") l = $(i + 1); else if ($i == "covered") n = $(i + 1)
		d = c - s - l - n; print (d < 0.002 && d > -0.002) ? "yes" : $0 }')"

# ---- numbers across changes: waits ----
what="contention rates"
begin CPROF_CPU_HZ=0 "$VICTIMS/rate_change"
tell wait 5 5
set_rates block_rate=1 mutex_fraction=1
tell wait 7 5
set_rates block_rate=0 mutex_fraction=0
tell wait 5 5
end
expect_profile rate_change block "$what"
expect_equal "$what: waits while it was on" 7 \
	"$("$PPROFQ" "$(profile rate_change block)" stacks contentions 2>/dev/null | awk '/pthread_mutex_lock/ && /wait_for_lock/ { n += $1 } END { print n + 0 }')"
expect_equal "$what: waits charged to who released" 7 "$(query "$(profile rate_change mutex)" total contentions)"

# ---- other namespaces ----
# reached WHAT COMMAND...: a program that COMMAND starts is commanded from here.
reached()
{
	what=$1
	shift
	if ! "$@" true 2>/dev/null; then
		skip_check "$what: not permitted here"
		return
	fi
	fresh_out
	chmod 777 "$OUT"
	rm -f "$TMP/in" && mkfifo "$TMP/in"
	"$@" env LD_PRELOAD="$CPROF_LIB" CPROF_OUT="$OUT" "$VICTIMS/rate_change" >"$TMP/said" 2>"$TMP/stderr" <"$TMP/in" &
	local started=$!
	exec 9>"$TMP/in"
	wait_until 20 grep -q ready "$TMP/said"
	PID=$started
	[[ $(<"/proc/$PID/comm") == rate_change ]] || PID=$(pgrep -P "$started" -x rate_change)
	expect "$what: set" wait_until 10 "$CPROF" set "$PID" heap_rate=1
	expect "$what: snapshot" "$CPROF" snapshot "$PID" --heap
	# Through a /proc of another PID namespace the collector would look at the wrong process.
	if [[ $what == *PID* ]]; then
		refused "$what: threads" "cannot be seen" "$CPROF" snapshot "$PID" --threads
	else
		expect "$what: threads" "$CPROF" snapshot "$PID" --threads
	fi
	exec 9>&-
	wait "$started" || fail "$what: the program's status"
	settle || true
}
if [[ $(id -u) == 0 ]]; then
	reached "network namespace" unshare -n
	reached "network and PID namespace" unshare -n -p -f --kill-child
	reached "user and network namespace of another user" "${as_nobody[@]}" unshare -U -r -n
fi

# ---- the collector dies ----
what="collector killed"
begin CPROF_HEAP_RATE=64K "$VICTIMS/rate_change"
set_rates heap_rate=1
kill -9 "$(our_collectors | sort -n | awk '{ last = $1 } END { print last }')"
works_again()
{
	[[ $("$CPROF" set "$PID" cpu_hz=50 2>/dev/null) == "cpu_hz=50 heap_rate=1 block_rate=0 mutex_fraction=0 trace=off" ]]
}
expect "$what: the next one takes commands, and knows the rates" wait_until 20 works_again
exec 9>&-
wait "$PID" || fail "$what: the program's status"
settle || true
finish
