#!/bin/bash
# SPDX-License-Identifier: MIT
# redis-server and nginx under load while they fork, restart, reload and replace themselves: what clients see and the
# statuses are those of a run without cprof.
# timeout: 900
set -euo pipefail
source "$(dirname "$0")/../integration/lib.sh"
source "$HERE/hostile.sh"

ROUNDS=${ROUNDS:-4}
port=$(free_ports)

# served PRELOAD COMMAND...: in the background, as $server.
served()
{
	local preload=$1
	shift
	env ${preload:+"LD_PRELOAD=$preload"} CPROF_OUT="$OUT" "${EVERYTHING[@]}" "$@" >>"$scene/log" 2>&1 &
	server=$!
}

ended()
{
	local status=0
	{ wait "$server"; } 2>/dev/null || status=$? # which names the killed with its number
	echo "$1: status $status"
}

# ---- redis ----------------------------------------------------------------------------------

ask() { redis-cli -p "$port" "$@" 2>/dev/null; }
is_up() { [[ $(ask ping) == PONG ]]; }
info() { ask info "$1" | tr -d '\r' | awk -F: -v name="$2" '$1 == name { print $2 }'; }
is_idle() { [[ $(info persistence rdb_bgsave_in_progress)$(info persistence aof_rewrite_in_progress) == 00 ]]; }
has_restarted() { is_up && [[ $(info server run_id) != "$1" ]]; }

# What clients stored: the load's own database is emptied first.
digest()
{
	ask -n 0 flushdb >/dev/null
	echo "$1: keys $(ask -n 1 dbsize), digest $(ask debug digest)"
}

redis_start()
{
	served "$1" "$(command -v redis-server)" "$scene/redis.conf" # DEBUG RESTART wants a path
	wait_until 60 is_up || echo "redis does not answer"
}

# redis PRELOAD: prints what is seen.
redis()
{
	local round earlier load
	scene=$TMP/redis${1:+-seen}
	mkdir -p "$scene"
	printf '%s\n' "port $port" "dir $scene" 'appendonly yes' 'appendfsync always' 'save 3600 1' 'enable-debug-command yes' >"$scene/redis.conf"
	redis_start "$1"
	for ((round = 1; round <= ROUNDS; round++)); do
		redis-benchmark -p "$port" -t set,get,lpush,zadd -n 15000 -c 20 -P 4 -q >"$scene/load" 2>&1 &
		load=$!
		seq 2000 | sed "s/.*/SET k:$round:& value-&\nLPUSH list:$round &/" | ask -n 1 --pipe | grep -o 'errors: .*'
		echo "round $round: $(ask bgsave)"
		wait_until 60 is_idle || echo "BGSAVE does not end"
		echo "round $round: saved $(info persistence rdb_last_bgsave_status); $(ask bgrewriteaof)"
		wait_until 60 is_idle || echo "BGREWRITEAOF does not end"
		echo "round $round: rewritten $(info persistence aof_last_bgrewrite_status); $(ask config set hz $((10 + round))) $(ask config rewrite)"
		wait $load || echo "round $round: the load's status $?"
		digest "round $round"
		earlier=$(info server run_id)
		ask debug restart >/dev/null || true
		wait_until 60 has_restarted "$earlier" || echo "round $round: DEBUG RESTART does not come back"
		digest "round $round, restarted"
		kill -TERM "$server"
		ended "round $round, SIGTERM"
		redis_start "$1"
		digest "round $round, started again"
		kill -KILL "$server"
		ended "round $round, SIGKILL"
		redis_start "$1"
		digest "round $round, after SIGKILL"
		echo "round $round: hz $(ask config get hz | tail -n 1)"
	done
	ask shutdown nosave || true
	ended "redis"
}

# ---- nginx ----------------------------------------------------------------------------------

# A connection for each request: none of them may fail, whatever the server does meanwhile.
cat >"$TMP/load.py" <<'PY'
import collections, os, socket, sys, threading

port, stop = int(sys.argv[1]), sys.argv[2]
seen, count, lock = collections.Counter(), [0], threading.Lock()

def ask():
    while not os.path.exists(stop):
        try:
            with socket.create_connection(("127.0.0.1", port), 60) as s:
                s.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                reply = b"".join(iter(lambda: s.recv(65536), b""))
            head, _, body = reply.partition(b"\r\n\r\n")
            kind = "%s %d" % (head.split(b"\r\n")[0].decode(), len(body))
        except OSError as error:
            kind = type(error).__name__
        with lock:
            seen[kind] += 1
            count[0] += 1

threads = [threading.Thread(target=ask) for _ in range(8)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print("answers:", ", ".join(sorted(seen)))
print(count[0], file=sys.stderr)
PY

workers_of() { pgrep -P "$1" -f 'nginx: worker process$' | sort | xargs || true; }
has_other_workers() { [[ -n $(workers_of "$1") && $(workers_of "$1") != "$2" ]]; }
is_new_master() { [[ -s $scene/pid && $(<"$scene/pid") != "$1" ]]; }
is_gone() { ! kill -0 "$1" 2>/dev/null; }

nginx_run()
{
	local round master before load
	scene=$TMP/nginx${1:+-seen}
	mkdir -p "$scene"
	chmod 755 "$TMP" "$scene"
	cat >"$scene/nginx.conf" <<-CONF
		$([[ $(id -u) != 0 ]] || echo "user nobody nogroup;")
		worker_processes 2;
		pid $scene/pid;
		error_log $scene/error.log warn;
		events { worker_connections 256; }
		http {
			access_log off;
			client_body_temp_path $scene/body; proxy_temp_path $scene/proxy; fastcgi_temp_path $scene/fastcgi;
			uwsgi_temp_path $scene/uwsgi; scgi_temp_path $scene/scgi;
			server { listen 127.0.0.1:$port; location / { return 200 "$(printf 'text %s ' {1..200})"; } }
		}
	CONF
	# Only who has left its parent may be replaced.
	served "$1" /usr/sbin/nginx -c "$scene/nginx.conf" -p "$scene"
	ended "nginx, in the foreground"
	wait_until 60 curl -sf -o /dev/null "http://127.0.0.1:$port/" || echo "nginx does not answer"
	python3 "$TMP/load.py" "$port" "$scene/stop" >"$scene/answers" 2>"$scene/count" &
	load=$!
	master=$(<"$scene/pid")
	for ((round = 1; round <= ROUNDS; round++)); do
		before=$(workers_of "$master")
		kill -HUP "$master"
		wait_until 60 has_other_workers "$master" "$before" || echo "round $round: no new workers"
		kill -USR2 "$master"
		wait_until 60 is_new_master "$master" || echo "round $round: no new master"
		before=$master
		master=$(<"$scene/pid")
		wait_until 60 has_other_workers "$master" "" || echo "round $round: the new master has no workers"
		kill -WINCH "$before"
		kill -QUIT "$before"
		wait_until 60 is_gone "$before" || echo "round $round: the old master does not end"
		echo "round $round: $(curl -s "http://127.0.0.1:$port/" | cksum)"
	done
	touch "$scene/stop"
	wait $load
	cat "$scene/answers"
	kill -QUIT "$master"
	wait_until 60 is_gone "$master" || echo "the last master does not end"
	echo "said: $(grep -cE 'emerg|alert|crit|signal 11' "$scene/error.log" || true)"
}

# compared NAME COMMAND: COMMAND with and without the library.
compared()
{
	"$2" "" >"$TMP/plain.txt" 2>&1
	fresh_out
	"$2" "$CPROF_LIB" >"$TMP/seen.txt" 2>&1
	LIMIT=120 settle || fail "$1: the collector does not end"
	if diff "$TMP/plain.txt" "$TMP/seen.txt" >"$TMP/difference"; then
		pass "$1: $(wc -l <"$TMP/seen.txt") lines  same"
	else
		fail "$1: other lines"
		head -20 "$TMP/difference" | sed 's/^/      | /'
	fi
	expect_equal "$1: nothing went wrong without cprof either" "" "$(grep -E 'does not|no new|has no|Error' "$TMP/plain.txt" || true)"
	recover_kept "$OUT"
	expect_all_valid "$1"
	((checks_failed)) || tally "$1 under load: restarted, reloaded, replaced" $((ROUNDS * 2))
}

if is_asked_for redis && has_commands redis-server redis-benchmark; then compared redis-server redis; fi
if is_asked_for nginx && [[ -x /usr/sbin/nginx ]] && command -v curl >/dev/null; then compared nginx nginx_run; fi
((checks_made)) || skip_test "neither redis-server nor nginx is installed"
finish
