#!/bin/bash
# SPDX-License-Identifier: MIT
# Traces of servers under load: the flight recorder's window in the middle of it and after a
# kill -9, and the whole of a run; both forms are right, and show the waits that are known.
# SPAN: seconds of load for each (1; tests/soak/trace_programs.sh takes longer).
set -euo pipefail
source "$(dirname "$0")/lib.sh"
source "$HERE/trace_lib.sh"

span=${SPAN:-1}

# serve COMMAND...: in the background, its pid in $server.
serve()
{
	fresh_out
	env LD_PRELOAD="$CPROF_LIB" CPROF_OUT="$OUT" CPROF_TRACE="$mode" "$@" >"$TMP/server.log" 2>&1 &
	server=$!
}

# under_load COMMAND...: again and again for the span; `during` runs in the middle of it.
under_load()
{
	local end=$((SECONDS + span)) rounds=0
	while ((SECONDS < end || rounds < 2)); do
		bounded "$@" >"$TMP/load.log" 2>&1 || {
			fail "$what: load: $(tail -1 "$TMP/load.log")"
			return
		}
		rounds=$((rounds + 1))
		((rounds != 1)) || during
	done
	pass "$what: $rounds rounds of load"
}

during()
{
	local files
	if [[ $mode == flight ]]; then
		mapfile -t files < <("$CPROF" snapshot --flight "${traced:-$server}" 2>&1)
		expect_forms "$what: in the middle" "${files[0]:-none}" "${files[1]:-none}"
	fi
}

# expect_waits WHAT NAME PID KIND...: the trace of that process shows waits of these kinds.
expect_waits()
{
	local kind text=$TMP/waits.text
	expect_forms "$1" "$OUT/$2.$3.perfetto-trace" "$OUT/$2.$3.trace"
	perfetto_lines "$OUT/$2.$3.perfetto-trace" >"$text" || true
	for kind in "${@:4}"; do
		expect_range "$1: waits: $kind" 1 "$(grep -cE " begin $kind" "$text" || true)" 100000000
	done
}

for mode in flight full; do
	if command -v redis-server >/dev/null && command -v redis-benchmark >/dev/null; then
		what="redis-server, $mode"
		serve redis-server --port 0 --unixsocket "$TMP/redis" --save '' --dir "$TMP" --io-threads 3
		expect "$what: answers" wait_until 10 redis-cli -s "$TMP/redis" ping
		under_load redis-benchmark -s "$TMP/redis" -q -n 10000 -c 20 -P 4 -t set,get
		kill -9 "$server"
		settle
		expect_waits "$what" redis-server "$server" poll "condition variable"
	else
		skip_check "redis is not installed"
	fi
	if command -v memcached >/dev/null; then
		what="memcached, $mode"
		serve memcached -u "$(id -un)" -s "$TMP/memcached" -t 4
		expect "$what: listens" wait_until 10 test -S "$TMP/memcached"
		under_load "$VICTIMS/memcached_load" "$TMP/memcached" 8 300
		kill -9 "$server"
		settle
		expect_waits "$what" memcached "$server" poll
		rm -f "$TMP/memcached"
	else
		skip_check "memcached is not installed"
	fi
	if [[ -x /usr/sbin/nginx ]] && command -v curl >/dev/null; then
		what="nginx, $mode"
		mkdir -p "$TMP/nginx/www"
		chmod -R 755 "$TMP"
		head -c 300000 /dev/urandom >"$TMP/nginx/www/file"
		user=
		[[ $(id -u) == 0 ]] && user="user root;"
		cat >"$TMP/nginx.conf" <<-CONF
			$user
			worker_processes 1;
			daemon off;
			pid $TMP/nginx/pid;
			error_log $TMP/nginx/error.log notice;
			events { worker_connections 64; }
			http {
				access_log off;
				client_body_temp_path $TMP/nginx/body;
				proxy_temp_path $TMP/nginx/proxy;
				fastcgi_temp_path $TMP/nginx/fastcgi;
				uwsgi_temp_path $TMP/nginx/uwsgi;
				scgi_temp_path $TMP/nginx/scgi;
				server { listen unix:$TMP/nginx/socket; root $TMP/nginx/www; }
			}
		CONF
		rm -f "$TMP/nginx/socket"
		serve nginx -c "$TMP/nginx.conf" -p "$TMP/nginx"
		expect "$what: answers" wait_until 10 curl -sf --unix-socket "$TMP/nginx/socket" http://x/file -o /dev/null
		traced=$(pgrep -P "$(<"$TMP/nginx/pid")")
		under_load curl -sf --unix-socket "$TMP/nginx/socket" 'http://x/file?[1-20]' -o /dev/null
		kill -9 "$traced"
		sleep 0.2
		kill -QUIT "$server"
		wait "$server" || true
		settle
		expect_waits "$what" nginx "$traced" poll
		unset traced
	else
		skip_check "nginx is not installed"
	fi
	what="a thread pool of python3, $mode"
	cat >"$TMP/pool.py" <<-'PYTHON'
		import concurrent.futures, hashlib, os, sys, time
		def work(n):
		    time.sleep(0.001)
		    return hashlib.sha256(b"x" * 100000 * (n % 3 + 1)).hexdigest()
		end = time.monotonic() + float(sys.argv[1])
		with concurrent.futures.ThreadPoolExecutor(4) as pool:
		    while time.monotonic() < end:
		        list(pool.map(work, range(100)))
		os.kill(os.getpid(), 9)
	PYTHON
	serve /usr/bin/python3 "$TMP/pool.py" "$span"
	wait "$server" 2>/dev/null || true
	settle
	expect_waits "$what" python3 "$server" semaphore sleep
done
finish
