#!/bin/bash
# SPDX-License-Identifier: MIT
# timeout: 240
# The collector is killed or stopped at random moments, again and again, or has no disk to write to:
# the program does not notice, and what it recorded is in profiles, or lies there to be recovered.
set -euo pipefail
source "$(dirname "$0")/lib.sh"
source "$HERE/hostile.sh"

RANDOM=${SEED:-4711}
ROUNDS=${ROUNDS:-2}

# aims: the collector's processes that are aimed at; WORKERS=1: those that do the work, not the one that guards them.
aims()
{
	if [[ -n ${WORKERS:-} ]]; then our_workers; else our_collectors; fi
}

# torment SIGNALS: until the file $TMP/over is there, sends a random one of them to a random process of the collector's.
torment()
{
	local signals pids
	read -ra signals <<<"$1"
	while [[ ! -e $TMP/over ]]; do
		sleep "0.0$((RANDOM % 9 + 1))"
		mapfile -t pids < <(aims)
		((${#pids[@]})) || continue
		kill "-${signals[RANDOM % ${#signals[@]}]}" "${pids[RANDOM % ${#pids[@]}]}" 2>/dev/null || true
	done
}

# Blocks of each process, once, wherever they are; what lies in raw data is recovered first.
blocks_found()
{
	local file pid count
	declare -A most=()
	recover_kept "$OUT"
	for file in "$OUT"/*.heap.pb.gz; do
		[[ -e $file ]] || continue
		pid=${file##*/}
		pid=${pid#*.}
		pid=${pid%%[.-]*}
		count=$(query "$file" has hostile_allocates alloc_objects)
		((count <= ${most[$pid]:--1})) || most[$pid]=$count
	done
	local sum=0
	for pid in "${!most[@]}"; do sum=$((sum + most[$pid])); done
	echo $sum
}

# tormented NAME SIGNALS MISSING_MAX COMMAND...: so many blocks of a round may be missing; 0: none.
tormented()
{
	local name=$1 senders=$2 missing_max=$3 round seen found owes file wrong=0 lost=0 kept=0 shell_pid began=$SECONDS
	shift 3
	hostile_run "" "$TMP/plain" "$@" >"$TMP/plain.status"
	for ((round = 0; round < ROUNDS; round++)); do
		((round == 0)) || has_time $began 4 || break
		fresh_out
		rm -f "$TMP/over"
		torment "$senders" &
		shell_pid=$!
		seen=$(hostile_run "$CPROF_LIB" "$TMP/seen" CPROF_OUT="$OUT" "${EVERYTHING[@]}" "$@")
		touch "$TMP/over"
		wait $shell_pid || true
		our_collectors | xargs -r kill -CONT 2>/dev/null || true
		if ! settle; then
			wrong=$((wrong + 1))
			echo "      | round $round: the collector does not end"
		fi
		if [[ $seen != "$(<"$TMP/plain.status")" ]] || ! diff <(sort "$TMP/plain.out") <(sort "$TMP/seen.out") >"$TMP/difference"; then
			wrong=$((wrong + 1))
			echo "      | round $round: status $seen: $(head -3 "$TMP/difference" | xargs)"
		fi
		if grep -v '^cprof: ' "$TMP/seen.err"; then
			wrong=$((wrong + 1))
		fi
		owes=$(owed "$TMP/seen.out")
		found=$(blocks_found)
		for file in "$OUT"/*.pb.gz; do
			[[ ! -e $file ]] || "$PPROFQ" "$file" check >/dev/null 2>&1 || {
				wrong=$((wrong + 1))
				echo "      | round $round: not valid: $(basename "$file")"
			}
		done
		if ((found == owes)); then
			kept=$((kept + 1))
		else
			lost=$((lost + 1))
			echo "      | round $round: $found of $owes blocks; $(ls -A "$OUT" | wc -l) files; $(head -2 "$TMP/seen.err")"
			((found < owes && owes - found <= missing_max)) || wrong=$((wrong + 1))
		fi
	done
	((wrong)) || tally "a tree of processes, meanwhile: $name" "$round"
	expect_equal "$name: something wrong, of $round rounds ($kept complete, $lost not)" 0 "$wrong"
}

# A child whose registration is under way in the moment of the kill may be lost with its 3 blocks.
WORKERS=1 tormented "workers killed" "KILL" 6 "$HOSTILE/fork_storm" 6
tormented "stopped and continued" "STOP CONT CONT" 0 "$HOSTILE/fork_storm" 6
WORKERS=1 tormented "workers stopped, continued and killed" "STOP CONT KILL" 6 "$HOSTILE/fork_storm" 6
# With guard and worker gone nobody holds the 24 children's 72 blocks; the first process keeps its own.
tormented "all of the collector killed" "KILL" 72 "$HOSTILE/fork_storm" 6
finish
