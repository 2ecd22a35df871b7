#!/bin/bash
# SPDX-License-Identifier: MIT
# kill -9 at random moments: start, heavy allocation, threads, forking, exit.  Every profile
# that was due is there and valid, and the last allocation before the kill is in it.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

RANDOM=${SEED:-4711} # the moments are the same in each run, as far as the machine's load allows
KILLS=${KILLS:-60}
BATCH=10
killed_alive=0
due=0

# launch NUMBER MODE MICROSECONDS: starts a victim and kills it after so long.
launch()
{
	local directory=$TMP/kill/$1 victim
	mkdir -p "$directory"
	echo "$2" >"$directory/mode"
	LD_PRELOAD=$CPROF_LIB CPROF_OUT=$directory/out CPROF_HEAP_RATE=1 "$VICTIMS/kill_target" "$directory/counters" "$2" \
		>"$directory/stdout" 2>"$directory/stderr" &
	victim=$!
	sleep "$(printf '0.%06d' "$3")"
	if kill -9 $victim 2>/dev/null; then
		killed_alive=$((killed_alive + 1))
	fi
	wait $victim 2>/dev/null || true
}

counter() { od -An -t u8 -j $((8 * $2)) -N 8 "$1/counters" 2>/dev/null | tr -d ' '; }

sum_over() # FILES-GLOB NAME
{
	local file sum=0 value
	for file in $1; do
		[[ -e $file ]] || continue
		value=$(query "$file" has "$2" alloc_objects)
		((value < 0)) || sum=$((sum + value))
	done
	echo $sum
}

# judge NUMBER: prints what is wrong with it.
judge()
{
	local directory=$TMP/kill/$1 file first children got mode
	mode=$(<"$directory/mode")
	recover_kept "$directory/out"
	# A child that is there alone may find nobody to hold its data: it keeps them, and says so.
	if [[ -s $directory/stdout ]] || grep -qv 'the data are in' "$directory/stderr"; then
		echo "said something: $(head -2 "$directory/stdout" "$directory/stderr" | xargs)"
	fi
	for file in "$directory"/out/* "$directory"/out/.[!.]*; do
		[[ -e $file ]] || continue
		if [[ $file != *.pb.gz ]]; then
			echo "left behind: $(basename "$file")"
		elif ! "$PPROFQ" "$file" check >"$TMP/valid.log" 2>&1; then
			echo "not valid: $(basename "$file"): $(head -1 "$TMP/valid.log")"
		fi
	done
	first=$(counter "$directory" 0)
	children=$(counter "$directory" 1)
	((${first:-0} > 0)) || return 0
	got=$(sum_over "$directory/out/kill_target.*.heap.pb.gz" counted_malloc)
	# The killed one may have recorded one allocation that it had not yet counted.
	if ((got < first || got > first + 1)); then
		echo "$mode: $first allocations before the kill, $got in the profile: $(ls -A "$directory/out" 2>/dev/null | xargs)"
	fi
	if [[ $mode == fork ]]; then
		got=$(sum_over "$directory/out/kill_target.*.heap.pb.gz" child_malloc)
		if ((got < children)); then
			echo "$mode: children allocated $children, $got in profiles"
		fi
	fi
}

modes=(allocate threads fork exit)
wrong=0
number=0
while ((number < KILLS)) && has_time; do
	for ((in_batch = 0; in_batch < BATCH; in_batch++)); do
		mode=${modes[number % 4]}
		case $((number / 4 % 3)) in
		0) span=10000 ;; # start-up
		1) span=50000 ;;
		2) span=120000 ;;
		esac
		launch $number "$mode" $(((RANDOM * 32768 + RANDOM) % span))
		number=$((number + 1))
	done
	if ! settle; then
		fail "collectors of batch $((number / BATCH)) end"
		break
	fi
	for ((judged = number - BATCH; judged < number; judged++)); do
		(($(counter "$TMP/kill/$judged" 0) + 0 > 0)) && due=$((due + 1))
		complaint=$(judge $judged)
		if [[ -n $complaint ]]; then
			wrong=$((wrong + 1))
			echo "      | kill $judged: $complaint"
		else
			rm -rf "$TMP/kill/$judged"
		fi
	done
done
((wrong)) || tally "kill -9: the program" "$number"
expect_equal "kills with something missing or broken, of $number" 0 "$wrong"
expect_range "killed while alive" $((number / 2)) "$killed_alive" "$number"
expect_range "with allocations made, so a profile due" $((number / 4)) "$due" "$number"
finish
