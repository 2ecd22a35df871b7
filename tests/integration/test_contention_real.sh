#!/bin/bash
# SPDX-License-Identifier: MIT
# Threaded programs of others under load: the same answers as ever, and the waits at their call sites.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

# waits FILE TYPE PATTERN: the sum over stacks, "leaf;...;root", that match.
waits()
{
	"$PPROFQ" "$1" stacks "$2" 2>/dev/null |
		awk -v pattern="$3" '{ value = $1; sub(/^[^ ]+ /, "") } $0 ~ pattern { sum += value } END { printf "%d\n", sum }'
}

# serve NAME COMMAND...: in the background under cprof, with its pid in $server.
serve()
{
	fresh_out
	what=$1
	env LD_PRELOAD="$CPROF_LIB" CPROF_OUT="$OUT" CPROF_BLOCK_RATE=10us "${@:2}" >"$TMP/$1.log" 2>&1 </dev/null &
	server=$!
}

# served STATUS PROGRAM: it ended with this status, all its profiles are there.
served()
{
	local status=0
	wait "$server" || status=$?
	expect_equal "$what: exit status" "$1" "$status"
	expect "$what: settles" settle
	expect_all_valid "$what"
	block=$OUT/$2.$server.block.pb.gz mutex=$OUT/$2.$server.mutex.pb.gz
	expect_equal "$what: no frame of cprof" "" "$({ query "$block" frames; query "$mutex" frames; } | grep -i cprof || true)"
	expect_sane_pprof "$what: block" "$block"
	expect_sane_pprof "$what: mutex" "$mutex"
}

# ---- mariadb ----
if has_commands mariadbd mariadb; then
	mkdir "$TMP/data"
	chmod 755 "$TMP"
	sql()
	{
		LIMIT=30 bounded mariadb --no-defaults -u root -S "$TMP/sql" -N "$@"
	}
	serve mariadb mariadbd --no-defaults --datadir="$TMP/data" --socket="$TMP/sql" --pid-file="$TMP/sql.pid" \
		--skip-networking --skip-grant-tables --user="$(id -un)" --skip-log-bin \
		--innodb-buffer-pool-size=16M --innodb-log-file-size=4M --innodb-flush-log-at-trx-commit=0
	expect "mariadb answers" wait_until 20 sql -e 'SELECT 1'
	sql -e 'CREATE DATABASE t; CREATE TABLE t.c (id INT PRIMARY KEY, n INT) ENGINE=InnoDB;
		INSERT INTO t.c VALUES (0, 0), (1, 0)' || fail "mariadb makes a table"
	cat >"$TMP/load.sql" <<-'SQL'
		DELIMITER //
		BEGIN NOT ATOMIC
			DECLARE i INT DEFAULT 0;
			WHILE i < 1000 DO
				UPDATE c SET n = n + 1 WHERE id = i MOD 2;
				SET i = i + 1;
			END WHILE;
		END//
	SQL
	clients=()
	for _ in 1 2 3 4 5 6; do
		sql t <"$TMP/load.sql" &
		clients+=($!)
	done
	wait "${clients[@]}"
	expect_equal "mariadb: nothing is counted twice or lost" 6000 "$(sql t -e 'SELECT SUM(n) FROM c; SHUTDOWN')"
	served 0 mariadbd
	expect_range "mariadb: waits for rows, below mysql_update" 10 \
		"$(waits "$block" contentions '^(pthread_cond_(timed)?wait|syscall);.*;mysql_update;.*;do_command;')" 10000000
	expect_range "mariadb: locks that were waited for below do_command" 5 \
		"$(waits "$block" contentions '^(pthread_(mutex|rwlock)_[a-z]*lock|syscall);.*;do_command;')" 10000000
	expect_range "mariadb: mutexes that were waited for" 1 "$(waits "$block" contentions '^pthread_mutex_lock;')" 10000000
	# Waiting for a condition releases its mutex too.
	expect_range "mariadb: mutexes that were released, ns" 1 \
		"$(waits "$mutex" delay '^pthread_(mutex_unlock|cond_[a-z]*wait);\[?[a-z]')" 100000000000000
	expect_range "mariadb: idle threads of the pool" 1 \
		"$(waits "$block" contentions '^pthread_cond_.*;tpool::thread_pool_generic::worker_main')" 10000000
else
	skip_check "mariadb is not installed"
fi

# ---- memcached ----
if command -v memcached >/dev/null; then
	serve memcached memcached -u "$(id -un)" -s "$TMP/memcached" -t 4
	expect "memcached listens" wait_until 10 test -S "$TMP/memcached"
	expect_equal "memcached: all is counted" "VALUE key0 0 6 240000 VALUE key1 0 6 240000" \
		"$(bounded "$VICTIMS/memcached_load" "$TMP/memcached" 8 3000 | tr -d '\r' | xargs)"
	kill -INT "$server"
	served 0 memcached
	# Debian's is stripped: its own functions have no names.
	expect_range "memcached: mutexes that were waited for" 1 \
		"$(waits "$block" contentions '^pthread_mutex_lock;\[memcached\];')" 10000000
	expect_range "memcached: mutexes that were released, ns" 1 \
		"$(waits "$mutex" delay '^pthread_mutex_unlock;\[memcached\];')" 100000000000000
else
	skip_check "memcached is not installed"
fi

# ---- redis with threads for its connections ----
if has_commands redis-server redis-benchmark; then
	serve redis redis-server --port 0 --unixsocket "$TMP/redis" --save '' --io-threads 3 --io-threads-do-reads yes --dir "$TMP"
	expect "redis answers" wait_until 10 redis-cli -s "$TMP/redis" ping
	expect "redis: load" bounded redis-benchmark -s "$TMP/redis" -q -n 20000 -c 40 -P 8 -d 200 incr counter
	expect_equal "redis: all is counted" 20000 "$(redis-cli -s "$TMP/redis" get counter)"
	redis-cli -s "$TMP/redis" shutdown nosave || true
	served 0 redis-server
	expect_range "redis: threads that are held back" 1 \
		"$(waits "$block" contentions '^pthread_mutex_lock;IOThreadMain;')" 10000000
	expect_range "redis: by whom" 1 "$(waits "$mutex" contentions '^pthread_mutex_unlock;(startThreadedIO|handleClientsWithPending)')" 10000000
	expect_range "redis: idle background threads" 0 \
		"$(waits "$block" contentions '^pthread_cond_wait;bioProcessBackgroundJobs;')" 1000
else
	skip_check "redis is not installed"
fi

# ---- nginx with a thread pool ----
if [[ -x /usr/sbin/nginx ]] && command -v curl >/dev/null && nginx -V 2>&1 | grep -q -- --with-threads; then
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
		thread_pool readers threads=2;
		events { worker_connections 64; }
		http {
			access_log off;
			client_body_temp_path $TMP/nginx/body;
			proxy_temp_path $TMP/nginx/proxy;
			fastcgi_temp_path $TMP/nginx/fastcgi;
			uwsgi_temp_path $TMP/nginx/uwsgi;
			scgi_temp_path $TMP/nginx/scgi;
			aio threads=readers;
			sendfile off;
			server { listen unix:$TMP/nginx/socket; root $TMP/nginx/www; }
		}
	CONF
	serve nginx nginx -c "$TMP/nginx.conf" -p "$TMP/nginx"
	expect "nginx answers" wait_until 10 curl -sf --unix-socket "$TMP/nginx/socket" http://x/file -o "$TMP/got"
	worker=$(pgrep -P "$(<"$TMP/nginx/pid")")
	for _ in 1 2 3 4 5; do
		curl -sf --unix-socket "$TMP/nginx/socket" http://x/file -o "$TMP/got" || fail "nginx: a download"
		expect "nginx: the same file" cmp "$TMP/nginx/www/file" "$TMP/got"
	done
	kill -QUIT "$server"
	wait "$server" || fail "nginx: exit status $?"
	expect "nginx: settles" settle
	expect_all_valid nginx
	expect_range "nginx: idle threads of the pool" 1 \
		"$(waits "$OUT/nginx.$worker.block.pb.gz" contentions '^pthread_cond_wait;ngx_thread_cond_wait;(ngx_thread_pool_cycle|\[nginx\]);')" 10000
else
	skip_check "nginx is not installed, or has no threads"
fi

# ---- python3's interpreter lock ----
if [[ -x /usr/bin/python3 ]]; then
	cat >"$TMP/gil.py" <<-'PYTHON'
		import sys, threading
		sys.setswitchinterval(0.001)
		results = []
		def work():
		    s = 0
		    for i in range(800000):
		        s += i * i % 7
		    results.append(s)
		threads = [threading.Thread(target=work) for _ in range(4)]
		for t in threads: t.start()
		for t in threads: t.join()
		lock = threading.Lock()
		lock.acquire()
		print(sum(results), lock.acquire(timeout=0.05))
	PYTHON
	what=python3
	fresh_out
	expect_equal "python3: output" "$(/usr/bin/python3 "$TMP/gil.py")" \
		"$(profiled CPROF_BLOCK_RATE=10us /usr/bin/python3 "$TMP/gil.py" 2>&1)"
	expect "python3: settles" settle
	expect_all_valid python3
	block=$(profile python3 block)
	# Its own take_gil has a name only where its debug file is installed.
	expect_range "python3: threads that wait for the interpreter" 20 \
		"$(waits "$block" contentions '^pthread_cond_timedwait;((PyCOND_TIMEDWAIT;)?take_gil|\[python3[.0-9]*\]);.*_PyEval_EvalFrameDefault;')" 1000000
	expect_equal "python3: a lock with a timeout, waited for once" 1 \
		"$(waits "$block" contentions '^sem_clockwait;PyThread_acquire_lock_timed;')"
	expect_range "python3: how long, ms" 50 "$(($(waits "$block" delay '^sem_clockwait;PyThread_acquire_lock_timed;') / 1000000))" 5000
	expect_range "python3: joins are waits for locks" 1 "$(waits "$block" contentions '^sem_wait;PyThread_acquire_lock_timed;')" 1000
else
	skip_check "python3 is not installed"
fi
finish
