#!/bin/bash
# SPDX-License-Identifier: MIT
# A program writes nonsense all over its segment while it runs: it goes on, the collector neither
# crashes nor hangs nor grows, what it writes is valid, and its child's profile is exact.
set -euo pipefail
source "$(dirname "$0")/lib.sh"
source "$HERE/hostile.sh"

SCRIBBLE_SEED=${SEED:-1}
ROUNDS=${ROUNDS:-5}

# largest FILE: watches the collector's processes, and leaves the most of its own memory that one had, in MB.
largest()
{
	local most=0 size pid
	while [[ ! -e $TMP/over ]]; do
		for pid in $(our_collectors); do
			size=$(awk '/^RssAnon:/ { print int($2 / 1024) }' "/proc/$pid/status" 2>/dev/null || echo 0)
			((${size:-0} <= most)) || most=$size
		done
		echo "$most" >"$1"
		sleep 0.2
	done
}

plain=$(hostile_run "" "$TMP/plain" "$HOSTILE/scribbles" 1 10)
for ((round = 0; round < ROUNDS; round++)); do
	((round == 0)) || has_time || break
	seed=$((SCRIBBLE_SEED + round))
	fresh_out
	rm -f "$TMP/over"
	largest "$TMP/largest" &
	watcher=$!
	seen=$(LIMIT=100 hostile_run "$CPROF_LIB" "$TMP/seen" CPROF_OUT="$OUT" CPROF_EXIT_WAIT=5s CPROF_MEM=64M "${EVERYTHING[@]}" \
		"$HOSTILE/scribbles" "$seed" 60000)
	expect_equal "seed $seed: exit status" "$plain" "$seen"
	expect "seed $seed: the same lines" cmp "$TMP/plain.out" "$TMP/seen.out"
	expect_equal "seed $seed: nobody else speaks" "" "$(grep -v '^cprof: ' "$TMP/seen.err" || true)"
	expect_equal "seed $seed: no worker dies of it" "" "$(grep 'ended unexpectedly' "$TMP/seen.err" || true)"
	expect "seed $seed: the collector ends" wait_until 60 no_collectors
	touch "$TMP/over"
	wait $watcher
	wrong=
	exact=0
	for file in "$OUT"/*.pb.gz; do
		[[ -e $file ]] || continue
		"$PPROFQ" "$file" check >"$TMP/valid.log" 2>&1 || wrong+=" $(basename "$file"): $(head -1 "$TMP/valid.log");"
		[[ $(query "$file" has hostile_allocates alloc_objects) != 350 ]] || exact=$((exact + 1))
	done
	expect_equal "seed $seed: what is written is valid" "" "$wrong"
	expect_range "seed $seed: the child's profile is exact" 1 "$exact" 1
	expect_range "seed $seed: the collector's own memory in MB" 0 "$(<"$TMP/largest")" 400
done
((checks_failed)) || tally "a program writes nonsense over its segment while it runs" "$round"
finish
