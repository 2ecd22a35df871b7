#!/bin/bash
# SPDX-License-Identifier: MIT
# Every lock function gives what it gives without cprof: return codes, errno, who owns what after a
# timeout, a cancellation, a dead owner; whether contention profiling is on, off or half on.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

# run WAY VICTIM [VARIABLE=VALUE...]: in the background, output and status to files of this way.
run()
{
	local way=$1 victim=$2 status=0
	shift 2
	mkdir -p "$TMP/$way/out"
	# shellcheck disable=SC2086
	bounded env "$@" $victim >"$TMP/$way/stdout" 2>"$TMP/$way/stderr" </dev/null || status=$?
	echo "status $status" >>"$TMP/$way/stdout"
}

# under WAY VICTIM [VARIABLE=VALUE...]: the same with the preload.
under()
{
	run "$1" "$2" LD_PRELOAD="$CPROF_LIB" CPROF_OUT="$TMP/$1/out" "${@:3}"
}

# matrix NAME LINES WAITS STATUS [ARGUMENT...]: the victim in all ways at once: it sleeps most of the time.
matrix()
{
	local name=$1 victim="$VICTIMS/$1 ${*:5}" way
	run "$name.plain" "$victim" &
	under "$name.off" "$victim" &
	under "$name.all" "$victim" CPROF_BLOCK_RATE=1 &
	under "$name.sampled" "$victim" CPROF_BLOCK_RATE=1ms CPROF_MUTEX_FRACTION=3 CPROF_CPU_HZ=1000 CPROF_HEAP_RATE=4096 &
	under "$name.mutex" "$victim" CPROF_MUTEX_FRACTION=1 CPROF_CPU_HZ=0 CPROF_HEAP_RATE=0 &
	wait
	expect_equal "$name: plain: exit status" "status $4" "$(tail -1 "$TMP/$name.plain/stdout")"
	expect_equal "$name: plain: nothing on stderr" "" "$(<"$TMP/$name.plain/stderr")"
	expect_range "$name: lines of output" "$2" "$(wc -l <"$TMP/$name.plain/stdout")" 10000
	for way in off all sampled mutex; do
		expect "$name: $way: the same" diff "$TMP/$name.plain/stdout" "$TMP/$name.$way/stdout"
		expect "$name: $way: the same errors" diff "$TMP/$name.plain/stderr" "$TMP/$name.$way/stderr"
	done
	expect "$name: settles" settle
	for way in off all sampled mutex; do
		expect_all_valid "$name: $way" "$TMP/$name.$way/out"
	done
	expect_range "$name: waits recorded" "$3" "$(for file in "$TMP/$name.all/out"/*.block.pb.gz; do
		query "$file" total contentions
	done | sort -n | tail -1)" 100000
	expect_equal "$name: off: no block profile" "" "$(compgen -G "$TMP/$name.off/out/*.block.pb.gz" || true)"
	expect_equal "$name: mutex alone: no block profile" "" "$(compgen -G "$TMP/$name.mutex/out/*.block.pb.gz" || true)"
}

matrix lock_mutexes 1000 100 0
matrix lock_waits 400 50 0
matrix lock_joins 100 20 0
matrix lock_futexes 70 10 0
matrix lock_cancels 200 50 0
matrix lock_places 150 20 4 "$VICTIMS/liblock_plugin.so"
# Waits for condition variables of the old kind are not recorded.
matrix lock_old_versions 20 2 0
finish
