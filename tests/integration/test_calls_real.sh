#!/bin/bash
# SPDX-License-Identifier: MIT
# Real programs whose every blocking call is watched: they do what they do without a trace, and the
# flight recorder shows their waits.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

# same WHAT COMMAND...: the same output and status, plain and with the flight recorder.
same()
{
	local what=$1 status=0 want
	shift
	want=$(bounded "$@" 2>&1 </dev/null) || status=$?
	want+=" status $status"
	status=0
	fresh_out
	got=$(profiled CPROF_TRACE=flight CPROF_HEAP_RATE=64K "$@" 2>&1 </dev/null) || status=$?
	expect_equal "$what" "$want" "$got status $status"
}

if command -v python3 >/dev/null; then
	cat >"$TMP/work.py" <<-'PYTHON'
		import asyncio, concurrent.futures, os, select, signal, socket, subprocess, time

		def work(i):
		    time.sleep(0.001 * (i % 3))
		    return i * i

		with concurrent.futures.ThreadPoolExecutor(8) as pool:
		    print(sum(pool.map(work, range(200))))
		print(subprocess.run(["sh", "-c", "sleep 0.05; echo child; exit 3"], capture_output=True))
		a, b = socket.socketpair()
		b.send(b"x")
		print(select.select([a], [], [], 5)[0] == [a], a.recv(1))
		r, w = os.pipe()
		pid = os.fork()
		if pid == 0:
		    os.write(w, b"forked")
		    os._exit(5)
		print(os.read(r, 6), os.waitpid(pid, 0)[1])
		signal.signal(signal.SIGALRM, lambda *_: print("alarm"))
		signal.setitimer(signal.ITIMER_REAL, 0.05)
		time.sleep(0.2)
		a.settimeout(0.02)
		try:
		    a.recv(1)
		except TimeoutError:
		    print("timed out")

		async def many():
		    return sum(await asyncio.gather(*[asyncio.sleep(0.01, i) for i in range(50)]))

		print(asyncio.run(many()))
	PYTHON
	same "python3: threads, children, sockets, signals" python3 "$TMP/work.py"
else
	skip_check "no python3"
fi

# shellcheck disable=SC2016
same "bash: pipes, jobs, traps, timeouts" bash -c 'seq 5000 | sort -rn | head -3 | tac
	(sleep 0.05; exit 4) & wait $!; echo "job $?"
	printf "%s\n" a b | while read -r l; do echo "got $l"; done
	trap "echo trapped" USR1; kill -USR1 $$
	x=$(sleep 0.02; echo substituted); echo "$x"'
if command -v perl >/dev/null; then
	# shellcheck disable=SC2016
	same "perl: alarm, fork, select" perl -e '$SIG{ALRM} = sub { print "alarm\n" }; alarm 1;
		select(undef, undef, undef, 0.01); my $left = sleep 30; print $left < 20 ? "woken\n" : "slept\n";
		my $p = fork; exit 4 unless $p; waitpid $p, 0; print $? >> 8, "\n"; print `echo backticks`;'
fi

if command -v redis-server >/dev/null; then
	fresh_out
	profiled CPROF_TRACE=flight redis-server --port 0 --unixsocket "$TMP/redis" --save '' --dir "$TMP" >/dev/null 2>&1 &
	server=$!
	cli() { bounded redis-cli -s "$TMP/redis" "$@"; }
	wait_until 20 test -S "$TMP/redis"
	wait_until 20 cli ping
	expect_equal "redis: 5000 commands" 5000 "$(for ((i = 0; i < 5000; i++)); do echo incr n; done | cli | tail -1)"
	pid=$(cli info server | tr -d '\r' | sed -n 's/^process_id://p')
	expect "redis: its window is saved" "$CPROF" snapshot --flight "$pid"
	expect "redis: it waited in its event loop" grep -q poll "$OUT"/redis-server.*.perfetto-trace
	cli shutdown nosave || true
	status=0
	wait $server || status=$?
	expect_equal "redis: ends as it should" 0 $status
fi
settle || true
finish
