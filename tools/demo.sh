#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What cprof does, on programs as Debian ships them: sqlite3 builds and queries a
# database of a million rows; redis-server works under redis-benchmark and gives a heap
# snapshot in the middle.  Prints the commands it uses and what `go tool pprof` says.
# Ends everything it started; the profiles stay in BUILD/demo.
#
#     BUILD=dir tools/demo.sh
set -euo pipefail
: "${BUILD:?the absolute build directory}"
command -v go >/dev/null || PATH=$PATH:/usr/local/go/bin

demo=$BUILD/demo
rm -rf "$demo"
mkdir -p "$demo"
cd "$demo"
scratch=$(mktemp -d)
server=
benchmark=
cleanup()
{
	[[ -z $benchmark ]] || kill "$benchmark" 2>/dev/null || true
	[[ -z $server ]] || kill "$server" 2>/dev/null || true
	wait
	rm -rf "$scratch"
}
trap cleanup EXIT
# pprof keeps what it fetches; nothing of the kind is wanted in the home directory.
export PPROF_TMPDIR=$scratch LC_ALL=C
unset "${!CPROF_@}"

# say COMMAND...: as one would type it.
say()
{
	printf '\n$ %s\n' "$*"
}

title()
{
	printf '\n==== %s\n' "$*"
}

fail()
{
	echo "demo: $*" >&2
	exit 1
}

# wait_for SECONDS WHAT COMMAND...
wait_for()
{
	local polls=$(($1 * 10)) what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		((polls-- > 0)) || fail "no $what"
		sleep 0.1
	done
}

# top FILE [OPTION...]
top()
{
	local file=$1
	shift
	say "go tool pprof -top -nodecount=15${*:+ $*} $file"
	go tool pprof -top -nodecount=15 "$@" "$file"
}

title "sqlite3: a million rows"
cat >"$scratch/work.sql" <<'SQL'
PRAGMA journal_mode = OFF;
CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT, town INTEGER, score REAL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)
	INSERT INTO person SELECT i, 'person ' || (i * 2654435761 % 1000000), i % 977, i * 0.37 FROM n;
CREATE INDEX person_name ON person (name);
SELECT town, count(*), avg(score) FROM person GROUP BY town ORDER BY 3 DESC LIMIT 3;
SELECT count(*) FROM person a JOIN person b ON a.name = b.name AND a.id < b.id;
SELECT name, score FROM person WHERE name LIKE '%4242%' ORDER BY score DESC LIMIT 3;
SQL
say "cprof run -- sqlite3 people.db <work.sql"
"$BUILD/cprof" run -- sqlite3 "$scratch/people.db" <"$scratch/work.sql"
top "$(compgen -G 'sqlite3.*.cpu.pb.gz')"
top "$(compgen -G 'sqlite3.*.heap.pb.gz')" -sample_index=alloc_space -cum

title "redis-server under redis-benchmark"
for attempt in 1 2 3 4 5; do
	port=$((20000 + RANDOM % 20000))
	LD_PRELOAD=$BUILD/libcprof.so redis-server --bind 127.0.0.1 --port "$port" --save '' --appendonly no \
		--dir "$scratch" --daemonize no >"$scratch/redis.log" 2>&1 &
	server=$!
	for _ in {1..50}; do
		redis-cli -p "$port" ping >/dev/null 2>&1 && break 2
		kill -0 "$server" 2>/dev/null || break # the port was taken
		sleep 0.1
	done
	kill "$server" 2>/dev/null || true
	wait "$server" || true
	server=
	((attempt < 5)) || fail "redis-server does not start: $(tail -n 3 "$scratch/redis.log")"
done
say "LD_PRELOAD=libcprof.so redis-server --port $port --save '' &"
load=(redis-benchmark -p "$port" -q -c 20 -P 8 -n 1000000 -r 200000 -t 'set,get,lpush,sadd')
say "${load[*]}"
"${load[@]}" >"$scratch/benchmark.log" 2>&1 &
benchmark=$!
sleep 3
say "kill -USR1 $server    # a heap snapshot in the middle of it"
kill -USR1 "$server"
wait_for 20 "heap snapshot" test -s "redis-server.$server.heap.1.pb.gz"
wait "$benchmark" || fail "redis-benchmark: $(tail -n 3 "$scratch/benchmark.log")"
benchmark=
tr '\r' '\n' <"$scratch/benchmark.log" | grep 'requests per second' || true
say "redis-cli -p $port shutdown nosave"
redis-cli -p "$port" shutdown nosave || true
wait "$server" || fail "redis-server ended with status $?"
pid=$server
server=
top "redis-server.$pid.cpu.pb.gz"
top "redis-server.$pid.heap.1.pb.gz" -cum
top "redis-server.$pid.heap.pb.gz" -sample_index=alloc_space -cum

title "All of it is in $demo; for instance:"
echo "go tool pprof -http=localhost:8080 $demo/redis-server.$pid.cpu.pb.gz"
