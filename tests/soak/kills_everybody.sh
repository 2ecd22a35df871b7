#!/bin/bash
# SPDX-License-Identifier: MIT
# kill -9 at random moments of everybody: the program, the collector's worker, its guard, both of these, and the
# program after each.  No profile is unreadable.  What was recorded is in one, but where nobody was
# left to hold it.  KILLS: how many, 2000.
set -euo pipefail
source "$(dirname "$0")/../integration/lib.sh"

RANDOM=${SEED:-4711}
KILLS=${KILLS:-2000}
BATCH=${BATCH:-16}

counter() { od -An -t u8 -j $((8 * $2)) -N 8 "$1/counters" 2>/dev/null | tr -d ' '; }

# pids DIRECTORY NAME: of the collector's processes for it.
pids()
{
	our_processes "^$2" "$1/out"
}

has_worker() { [[ -n $(pids "$1" cprof-collect) ]]; }

# one DIRECTORY MODE WHOM MICROSECONDS
one()
{
	local directory=$1 mode=$2 whom=$3 victim
	mkdir -p "$directory"
	LD_PRELOAD=$CPROF_LIB CPROF_OUT=$directory/out CPROF_HEAP_RATE=1 CPROF_CPU_HZ=250 "$VICTIMS/kill_target" "$directory/counters" "$mode" \
		>"$directory/stdout" 2>"$directory/stderr" &
	victim=$!
	# Only a collector that has it can be expected to keep it.
	[[ $whom == program ]] || wait_until 10 has_worker "$directory"
	sleep "$(printf '0.%06d' "$4")"
	case $whom in
	worker) pids "$directory" cprof-collect | xargs -r kill -9 2>/dev/null || true ;;
	guard) pids "$directory" cprof-superv | xargs -r kill -9 2>/dev/null || true ;;
	both) pids "$directory" cprof- | xargs -r kill -9 2>/dev/null || true ;;
	esac
	kill -9 $victim 2>/dev/null || true
	wait $victim 2>/dev/null || true
}

# sum DIRECTORY FUNCTION
sum()
{
	local file value total=0
	for file in "$1"/out/*.heap*.pb.gz; do
		[[ -e $file ]] || continue
		value=$(query "$file" has "$2" alloc_objects)
		((value < 0)) || total=$((total + value))
	done
	echo $total
}

# judge DIRECTORY MODE WHOM: what is wrong.
judge()
{
	local file first got
	recover_kept "$1/out"
	for file in "$1"/out/*.pb.gz; do
		[[ ! -e $file ]] || "$PPROFQ" "$file" check >"$TMP/valid.log" 2>&1 || echo "not valid: $(basename "$file"): $(head -1 "$TMP/valid.log")"
	done
	[[ $3 != both ]] || return 0
	first=$(counter "$1" 0)
	got=$(sum "$1" counted_malloc)
	((${first:-0} == 0)) || ((got == first || got == first + 1)) || echo "$first allocations before the kill, $got in the profile: $(find "$1/out" -type f -printf '%f ')"
	[[ $2 != fork ]] || (($(sum "$1" child_malloc) >= $(counter "$1" 1) + 0)) || echo "children: $(sum "$1" child_malloc) of $(counter "$1" 1)"
}

modes=(allocate threads fork)
targets=(program worker guard program both)
declare -A counts=()
wrong=0
number=0
while ((number < KILLS)) && has_time; do
	batch=()
	for ((i = 0; i < BATCH && number < KILLS; i++, number++)); do
		mode=${modes[RANDOM % 3]}
		whom=${targets[RANDOM % 5]}
		directory=$TMP/kills/$number
		batch+=("$directory $mode $whom")
		counts[$whom]=$((${counts[$whom]:-0} + 1))
		one "$directory" "$mode" "$whom" $((RANDOM * 4)) &
	done
	wait
	settle || fail "collectors before kill $number end"
	for entry in "${batch[@]}"; do
		read -r directory mode whom <<<"$entry"
		complaint=$(judge "$directory" "$mode" "$whom")
		if [[ -n $complaint ]]; then
			wrong=$((wrong + 1))
			echo "      | $whom, $mode, $(basename "$directory"): $complaint; $(head -2 "$directory/stderr" | xargs)"
		else
			rm -rf "$directory"
		fi
	done
done
declare -A names=([program]="the program" [worker]="the collector's worker, then the program" [guard]="the collector's guard, then the program"
	[both]="all of the collector, then the program")
for whom in "${!counts[@]}"; do ((wrong)) || tally "kill -9: ${names[$whom]}" "${counts[$whom]}"; done
expect_equal "of $number kills, with something unreadable or lost" 0 "$wrong"
finish
