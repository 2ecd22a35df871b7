#!/bin/bash
# SPDX-License-Identifier: MIT
# redis-server under redis-benchmark: profiles at exit, a heap snapshot by SIGUSR1 under load.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

has_commands redis-server redis-benchmark redis-cli || skip_test "redis is not installed"

socket=$TMP/redis.sock
LIMIT=120 profiled CPROF_HEAP_RATE=16384 redis-server --port 0 --unixsocket "$socket" --save '' \
	--appendonly no --daemonize no --loglevel warning >"$TMP/redis.log" 2>"$TMP/redis.err" &
shell_pid=$!
expect "redis-server answers" wait_until 10 redis-cli -s "$socket" ping
redis_pid=$(redis-cli -s "$socket" info server | tr -d '\r' | sed -n 's/^process_id://p')

redis-benchmark -s "$socket" -n 60000 -c 20 -P 8 -d 400 -r 100000 -q -t set,get,lpush,lrange_100 >"$TMP/bench.log" 2>&1 &
bench_pid=$!
sleep 0.7
expect "SIGUSR1 during load is no danger" kill -USR1 "$redis_pid"
expect "snapshot file appears" wait_until 10 test -e "$OUT/redis-server.$redis_pid.heap.1.pb.gz"
expect "load runs to its end" wait "$bench_pid"
expect "redis-server still answers" redis-cli -s "$socket" ping
redis-cli -s "$socket" shutdown nosave 2>/dev/null || true
status=0
wait "$shell_pid" || status=$?
expect_equal "exit status" 0 "$status"
# The first process waits for its files: they are there now, without settle.
expect_profile redis-server cpu
expect_profile redis-server heap
expect "settles" settle
expect_all_valid "redis-server"
expect_equal "three files, no more" 3 "$(ls "$OUT" | wc -l)"

cpu=$(profile redis-server cpu) heap=$(profile redis-server heap)
snapshot=$OUT/redis-server.$redis_pid.heap.1.pb.gz
expect_equal "cpu sample types" "samples/count cpu/nanoseconds period cpu/nanoseconds 10000000" "$(query "$cpu" types | xargs)"
expect_equal "heap sample types" "alloc_objects/count alloc_space/bytes inuse_objects/count inuse_space/bytes period space/bytes 16384" \
	"$(query "$heap" types | xargs)"
for file in "$cpu" "$heap" "$snapshot"; do
	expect_sane_pprof "$(basename "$file")" "$file"
done

# The load makes redis run these.
for name in main aeMain processCommand call; do
	expect_range "cpu samples below $name" 10 "$(query "$cpu" has $name samples)" 1000000
done
samples=$(query "$cpu" total samples)
expect_range "cpu samples below main: all but a few" $((samples - samples / 100 - 2)) "$(query "$cpu" has main samples)" "$samples"
for name in main setCommand; do
	expect_range "allocations below $name" 100000 "$(query "$heap" has $name alloc_space)" 1000000000000
done
expect_range "in use at the snapshot below setCommand" 100000 "$(query "$snapshot" has setCommand inuse_space)" 1000000000000
expect_range "alloc grows from snapshot to end" "$(query "$snapshot" total alloc_space)" "$(query "$heap" total alloc_space)" 1000000000000
expect "no frame of cprof" bash -c "! '$PPROFQ' '$cpu' frames | grep -i cprof"
expect_equal "mode of the files" "600 600 600" "$(stat -c %a "$OUT"/* | xargs)"
expect_equal "nothing said on stderr" "" "$(grep -i cprof "$TMP/redis.err" || true)"
finish
