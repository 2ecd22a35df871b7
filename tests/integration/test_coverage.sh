#!/bin/bash
# SPDX-License-Identifier: MIT
# alone
# CPU clock = sampled + lost + not covered, for each kind of program, and what is not covered is
# within what the timers' resolution explains.
set -euo pipefail
source "$(dirname "$0")/lib.sh"
steady_cpu

# The figures of the line "cpu clock A s = sampled B s + lost C s + not covered D s", in ms.
account()
{
	query "$1" comments | sed -nE 's/^#? ?cprof[^:]*: cpu clock ([0-9.]+) s.* = sampled ([0-9.]+) s \+ lost ([0-9.]+) s \+ not covered (-?[0-9.]+) s.*/\1 \2 \3 \4/p' |
		awk '{ printf "%.0f %.0f %.0f %.0f\n", $1 * 1000, $2 * 1000, $3 * 1000, $4 * 1000 }'
}

# covered MODE MS LOW HIGH [VARIABLES...]: not covered is within LOW..HIGH ms.
covered()
{
	local mode=$1 ms=$2 low=$3 high=$4 cpu clock sampled lost missing own late
	shift 4
	fresh_out
	expect_equal "$mode: exit status" 0 "$(status_of profiled "$@" "$VICTIMS/cpu_shares" "$mode" "$ms")"
	cpu=$(profile cpu_shares cpu)
	read -r clock sampled lost missing < <(account "$cpu") || true
	if [[ -z ${missing:-} ]]; then
		fail "$mode: the profile gives an account of its CPU time: $(query "$cpu" comments | head -1)"
		return
	fi
	expect_range "$mode: the sum is right" $((clock - 2)) $((sampled + lost + missing)) $((clock + 2))
	expect_range "$mode: sampled is the profile's sum" $((sampled - 1)) $(($(query "$cpu" total cpu) / 1000000)) $((sampled + 1))
	late=$(late_ms "$TMP/stdout")
	own=$(($(truth "$TMP/stdout" clock) / 1000000))
	expect_range "$mode: the clock is the program's own, and start and exit" $((own - 1)) "$clock" $((own + 60))
	expect_range "$mode: ms not covered, of $clock" $((low - late)) "$missing" $((high + late))
}

# One thread misses up to a period and a tick (here 10 + 4, and the timer's start), at most gains one
# period; more threads accordingly.  Expiries that come late by parts of a tick do not add up, but the
# delivered period may exceed the nominal one by 1 %.
covered single 1000 -16 40
covered four 1000 -60 80
covered blocked 1000 -30 50
covered handler 600 -16 40
covered fiber 600 -16 40
covered small-stack 600 -30 50
# Twenty threads of 50 ms: the noise of the first expiries is 4 * sqrt(20) / 2 periods of 4 ms; the
# time after the last tick, on average half a tick, is missing from each.
covered short 1000 -50 130 CPROF_CPU_HZ=250
covered single 600 -10 30 CPROF_CPU_HZ=250
covered single 600 -45 60 CPROF_CPU_HZ=20
# A thread whose signals are blocked by a bare system call cannot be sampled; that is said.
covered raw-blocked 600 540 640

# Timers refused: the time is not covered, or found otherwise, but the account is kept.
fresh_out
expect_equal "no timers: exit status" 0 \
	"$(status_of profiled prlimit --sigpending=0 "$VICTIMS/cpu_shares" four 400)"
expect "no timers: settles" settle
cpu=$(profile cpu_shares cpu)
read -r clock sampled lost missing < <(account "$cpu") || true
expect_range "no timers: the sum is right" $((${clock:-0} - 2)) $((${sampled:-0} + ${lost:-0} + ${missing:-0})) $((${clock:--9} + 2))
if ((${sampled:-0} < 300)); then
	expect "no timers: it is said" grep -q 'threads' <(query "$cpu" comments | grep -v '^#')
fi

# A child that was forked: its own clock, its own account.
fresh_out
profiled "$VICTIMS/family" fork 300 >"$TMP/truth" 2>&1 || fail "family: exit status $?"
settle || true
for pid in $(awk '{ print $2 }' "$TMP/truth"); do
	read -r clock sampled lost missing < <(account "$OUT/family.$pid.cpu.pb.gz") || true
	expect_range "forked: clock of $pid" 300 "${clock:-0}" 345
	expect_range "forked: not covered of $pid" -16 "${missing:-1000}" 45
done
finish
