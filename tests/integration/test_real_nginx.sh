#!/bin/bash
# SPDX-License-Identifier: MIT
# nginx with two workers, which drop their privileges, under wrk.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

[[ -x /usr/sbin/nginx ]] && has_commands wrk curl || skip_test "nginx, wrk or curl is not installed"

port=$(free_ports)
mkdir -p "$TMP/nginx"
chmod 755 "$TMP" "$TMP/nginx" # the workers open their logs there
user=
[[ $(id -u) == 0 ]] && user="user nobody nogroup;"
cat >"$TMP/nginx.conf" <<CONF
$user
worker_processes 2;
daemon off;
pid $TMP/nginx/pid;
error_log $TMP/nginx/error.log notice;
events { worker_connections 512; }
http {
	access_log $TMP/nginx/access.log;
	client_body_temp_path $TMP/nginx/body;
	proxy_temp_path $TMP/nginx/proxy;
	fastcgi_temp_path $TMP/nginx/fastcgi;
	uwsgi_temp_path $TMP/nginx/uwsgi;
	scgi_temp_path $TMP/nginx/scgi;
	gzip on;
	gzip_min_length 10;
	gzip_types text/plain;
	server {
		listen 127.0.0.1:$port reuseport;
		location / { default_type text/plain; return 200 "$(printf 'some text to pack %s, ' {1..100})"; }
	}
}
CONF
LIMIT=100 profiled nginx -c "$TMP/nginx.conf" -p "$TMP/nginx" >"$TMP/nginx.out" 2>&1 &
shell_pid=$!
expect "nginx answers" wait_until 10 curl -sf "http://127.0.0.1:$port/"
master=$(<"$TMP/nginx/pid")
workers=$(pgrep -P "$master" | xargs)
expect_equal "two workers" 2 "$(wc -w <<<"$workers")"
if [[ -n $user ]]; then
	expect_equal "workers are nobody" "nobody" "$(ps -o user= -p "${workers// /,}" | sort -u)"
fi
wrk -t2 -c40 -d3s -H 'Accept-Encoding: gzip' "http://127.0.0.1:$port/" >"$TMP/wrk.log" 2>&1 || true
expect "wrk saw no errors" bash -c "grep -q 'Requests/sec' '$TMP/wrk.log' && ! grep -qE 'Non-2xx|Socket errors' '$TMP/wrk.log'"
# nginx has its own use for SIGUSR1: it opens its logs anew.
mv "$TMP/nginx/error.log" "$TMP/nginx/error.log.1"
kill -USR1 "$master"
expect "SIGUSR1 is nginx's own" wait_until 5 test -e "$TMP/nginx/error.log"
# A reload makes new workers and lets the old ones end.
kill -HUP "$master"
other_workers() { local now; now=$(pgrep -P "$master" | xargs); [[ $(wc -w <<<"$now") == 2 && " $now " != *" ${workers%% *} "* ]]; }
expect "new workers after a reload" wait_until 10 other_workers
curl -sf "http://127.0.0.1:$port/" >/dev/null || fail "answers after the reload"
kill -QUIT "$master"
status=0
wait "$shell_pid" || status=$?
expect_equal "exit status" 0 "$status"
expect "settles" settle
expect_all_valid "nginx"
expect_equal "no snapshot was taken" "" "$(compgen -G "$OUT/*.heap.1.pb.gz" || true)"
for worker in $workers; do
	file=$OUT/nginx.$worker.cpu.pb.gz
	expect_range "worker $worker: samples below ngx_process_events_and_timers" 20 \
		"$(query "$file" has ngx_process_events_and_timers samples)" 10000
	expect_range "worker $worker: samples in deflate" 1 "$(query "$file" has deflate samples)" 10000
	expect "worker $worker: allocations" test -e "$OUT/nginx.$worker.heap.pb.gz"
	expect_sane_pprof "worker $worker" "$file"
done
expect "the master, first process, has its profiles" test -e "$OUT/nginx.$master.cpu.pb.gz"
expect_equal "nothing of cprof in the logs" "" "$(cat "$TMP"/nginx/error.log* "$TMP/nginx.out" | grep -iE 'cprof|signal 11|emerg|alert' || true)"
finish
