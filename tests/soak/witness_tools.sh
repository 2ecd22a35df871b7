#!/bin/bash
# SPDX-License-Identifier: MIT
# More programs of a Debian system: servers, tools that run others, numeric libraries with threads of their own,
# and small programs around libraries that switch stacks or share rings with the kernel; see ../integration/witness.sh.
# timeout: 900
set -euo pipefail
source "$(dirname "$0")/../integration/lib.sh"
source "$HERE/hostile.sh"
source "$HERE/witness.sh"

program mariadb mariadbd mariadb mariadb-install-db <<'SCRIPT'
mkdir -m 777 any; cd any; chown nobody . ..
mariadb-install-db --no-defaults --user=nobody --datadir="$PWD/d" --auth-root-authentication-method=normal --skip-test-db >log.install 2>&1; echo $?
ask() { mariadb --no-defaults -S "$PWD/s" -u root -N -B "$@" 2>&1; }
start() {
	mariadbd --no-defaults --user=nobody --datadir="$PWD/d" --socket="$PWD/s" --pid-file="$PWD/p" --skip-networking --log-error="$PWD/log.err" \
		--innodb-buffer-pool-size=20M --max-connections=50 --table-open-cache=100 "$@" &
	server=$!
	for ((i = 0; i < 600; i++)); do
		kill -0 $server 2>/dev/null || return
		ask -e 'select 1' >/dev/null && break
		sleep 0.1
	done
}
start
ask -e 'create database w; create table w.t (i int primary key auto_increment, s varchar(100), n bigint) engine=innodb'
for ((c = 0; c < 4; c++)); do
	for ((i = 0; i < 300; i++)); do echo "insert into w.t (s, n) values (md5($c * 1000 + $i), $i);"; done | ask &
	clients[c]=$!
done
wait "${clients[@]}"
ask -e 'select count(*), sum(n) from w.t; select s from w.t order by s limit 3; select sleep(0.3); set max_statement_time=0.2; select sleep(9)'
kill -9 $server; wait $server 2>/dev/null; echo $?
start
ask -e 'select count(*), sum(n) from w.t; check table w.t; select benchmark(300000, sha1(1)); shutdown'
wait $server; echo $?
start --thread-handling=pool-of-threads
ask -e 'select count(*) from w.t'; kill -TERM $server; wait $server; echo $?
grep -ciE 'signal (6|11)|assertion' log.err
SCRIPT

program ffmpeg ffmpeg <<'SCRIPT'
for threads in 1 4; do
	ffmpeg -nostdin -v error -f lavfi -i testsrc=duration=3:size=320x240:rate=25 -threads $threads -c:v mpeg2video -flags bitexact -f md5 -; echo $?
	ffmpeg -nostdin -v error -f lavfi -i testsrc2=duration=3:size=320x240 -filter_threads $threads -vf scale=200:100,hflip,gblur -f framemd5 - | md5sum
done
ffmpeg -nostdin -v error -f lavfi -i sine=duration=5 -f lavfi -i testsrc=duration=5 -c:v libx264 -threads 4 -c:a aac -y a.mkv; echo $?
ffmpeg -nostdin -v error -i a.mkv -f md5 -; ffprobe -v error -show_entries stream=codec_name,duration a.mkv
rm -f a.mkv
timeout -s INT 2 ffmpeg -nostdin -v error -re -f lavfi -i testsrc -f null -; echo $?
SCRIPT

program numpy /usr/bin/python3 <<'SCRIPT'
/usr/bin/python3 -c 'import numpy' 2>/dev/null || { echo none; exit; }
cat >a.py <<'PYTHON'
import multiprocessing, os, threading, numpy as np
r = np.random.default_rng(1)
a = r.integers(0, 9, (600, 600)).astype(float)
print(int((a @ a).sum()), round(float(np.linalg.svd(a[:100, :100])[1][0]), 6))
def work(n): return int((a[:n, :n] @ a[:n, :n]).sum())
if os.fork() == 0: os._exit(work(500) % 251)
print(os.wait()[1] >> 8)
with multiprocessing.get_context('fork').Pool(3) as p: print(p.map(work, [100, 200, 300, 400]))
out = []
ts = [threading.Thread(target=lambda n=n: out.append(work(n))) for n in (150, 250, 350)]
[t.start() for t in ts]; [t.join() for t in ts]; print(sorted(out))
print(np.linalg.solve(a + 1000 * np.eye(600), a[0]).shape, np.sort(r.random(300000))[::100000].round(6))
try: np.zeros(1 << 50)
except MemoryError: print('memory')
PYTHON
OPENBLAS_NUM_THREADS=4 /usr/bin/python3 a.py; echo $?
SCRIPT

program greenlets /usr/bin/python3 <<'SCRIPT'
/usr/bin/python3 -c 'import gevent, uvloop' 2>/dev/null || { echo none; exit; }
cat >a.py <<'PYTHON'
from gevent import monkey; monkey.patch_all()
import gevent, gevent.pool, gevent.subprocess, gevent.threadpool, signal, socket, time, os
def echo(s):
    while d := s.recv(100): s.sendall(d)
l = socket.create_server(('127.0.0.1', 0))
gevent.spawn(lambda: [gevent.spawn(echo, l.accept()[0]) for _ in range(50)])
def client(i):
    s = socket.create_connection(l.getsockname())
    for j in range(20): s.sendall(b'%d' % j); assert s.recv(100) == b'%d' % j
    return i
print(sum(gevent.pool.Pool(50).map(client, range(50))))
def deep(n): return deep(n - 1) + 1 if n else (gevent.sleep(0), 0)[1]
print(sum(g.get() for g in [gevent.spawn(deep, 200) for _ in range(300)]))
print(gevent.subprocess.run(['sh', '-c', 'echo hi; exit 3'], stdout=gevent.subprocess.PIPE))
print(gevent.threadpool.ThreadPool(3).map(lambda x: x * x, range(10)))
try: gevent.with_timeout(0.2, gevent.sleep, 9)
except gevent.Timeout: print('timeout')
g = []; h = gevent.signal_handler(signal.SIGUSR1, lambda: g.append(1)); os.kill(os.getpid(), signal.SIGUSR1); gevent.sleep(0.2); print(g)
PYTHON
cat >b.py <<'PYTHON'
import asyncio, uvloop, signal, os
async def main():
    async def serve(r, w):
        while d := await r.readline(): w.write(d)
        w.close()
    s = await asyncio.start_server(serve, '127.0.0.1', 0)
    async def client(i):
        r, w = await asyncio.open_connection(*s.sockets[0].getsockname())
        for j in range(20): w.write(b'%d\n' % j); assert int(await r.readline()) == j
        w.close(); return i
    print(sum(await asyncio.gather(*map(client, range(50)))))
    p = await asyncio.create_subprocess_exec('sh', '-c', 'echo hi; exit 4', stdout=-1); print(await p.communicate(), p.returncode)
    e = asyncio.Event(); asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, e.set); os.kill(os.getpid(), signal.SIGUSR2); await e.wait()
    print(await asyncio.to_thread(sum, range(10**6)))
uvloop.install(); asyncio.run(main())
PYTHON
/usr/bin/python3 a.py; echo $?; /usr/bin/python3 b.py; echo $?
SCRIPT

program tbb g++ <<'SCRIPT'
mkdir any && cd any
cat >a.cc <<'CC'
#include <tbb/tbb.h>
#include <tbb/scalable_allocator.h>
#include <cstdio>
#include <vector>
int main()
{
	tbb::global_control c(tbb::global_control::max_allowed_parallelism, 8);
	printf("%ld\n", tbb::parallel_reduce(tbb::blocked_range<long>(0, 5000000), 0L,
		[](auto &r, long s) { for (long i = r.begin(); i < r.end(); i++) s += i % 7; return s; }, std::plus<long>()));
	tbb::concurrent_hash_map<int, std::vector<int, tbb::scalable_allocator<int>>> m;
	tbb::parallel_for(0, 20000, [&](int i) { decltype(m)::accessor a; m.insert(a, i % 500); a->second.push_back(i); });
	size_t n = 0; for (auto &e : m) n += e.second.size(); printf("%zu %zu\n", m.size(), n);
	tbb::task_group g; try { g.run_and_wait([] { tbb::parallel_for(0, 1000, [](int i) { if (i == 500) throw 5; }); }); } catch (int e) { printf("caught %d\n", e); }
	tbb::task_arena a(3); a.execute([] { tbb::this_task_arena::isolate([] { tbb::parallel_for(0, 100, [](int) { delete[] new char[1000]; }); }); });
	return 3;
}
CC
env -u LD_PRELOAD g++ -O1 a.cc -o a -ltbb -ltbbmalloc 2>/dev/null || { echo none; exit; }
./a; echo $?
for proxy in /usr/lib/x86_64-linux-gnu/libtbbmalloc_proxy.so.2; do LD_PRELOAD="$proxy${LD_PRELOAD:+:$LD_PRELOAD}" ./a; echo $?; LD_PRELOAD="${LD_PRELOAD:+$LD_PRELOAD:}$proxy" ./a; echo $?; done
SCRIPT

program boost g++ <<'SCRIPT'
mkdir any && cd any
cat >a.cc <<'CC'
#include <boost/context/fiber.hpp>
#include <boost/context/protected_fixedsize_stack.hpp>
#include <boost/fiber/all.hpp>
#include <cstdio>
#include <stdexcept>
#include <thread>
namespace ctx = boost::context;
static int deep(int n) { volatile char c[200]; c[0] = (char)n; return n ? deep(n - 1) + 1 : c[0]; }
int main()
{
	long sum = 0;
	for (int i = 0; i < 300; i++) {
		ctx::fiber f{std::allocator_arg, ctx::protected_fixedsize_stack(64 << 10), [&](ctx::fiber &&m) {
			for (int k = 0; k < 50; k++) { delete[] new char[100]; sum += deep(50); m = std::move(m).resume(); } return std::move(m); }};
		while (f) f = std::move(f).resume();
	}
	printf("%ld\n", sum);
	boost::fibers::buffered_channel<int> channel(64);
	boost::fibers::mutex lock; long total = 0;
	std::thread others[3];
	for (auto &t : others) t = std::thread([&] { boost::fibers::use_scheduling_algorithm<boost::fibers::algo::shared_work>();
		for (int v; channel.pop(v) == boost::fibers::channel_op_status::success;) { std::lock_guard g(lock); total += v; } });
	boost::fibers::fiber f[4]; int n = 0;
	for (auto &x : f) x = boost::fibers::fiber([&, i = n++] { for (int v = 0; v < 5000; v++) { channel.push(v + i); if (v % 100 == 0) boost::this_fiber::yield(); } });
	for (auto &x : f) x.join();
	channel.close(); for (auto &t : others) t.join(); printf("%ld\n", total);
	auto future = boost::fibers::async([] { throw std::runtime_error("thrown"); }); try { future.get(); } catch (std::exception &e) { puts(e.what()); }
	return 4;
}
CC
env -u LD_PRELOAD g++ -std=c++17 -O1 a.cc -o a -lboost_fiber -lboost_context -pthread 2>/dev/null || { echo none; exit; }
./a; echo $?
SCRIPT

# The kernel runs a thread's CPU timers in this wait; the program has no handlers, so it must not notice.
program io-uring gcc <<'SCRIPT'
mkdir any && cd any
cat >a.c <<'C'
#include <liburing.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <errno.h>
static int rounds(unsigned flags)
{
	struct io_uring r; struct io_uring_cqe *c; char buffer[64][512]; long sum = 0;
	int e = io_uring_queue_init(64, &r, flags); if (e) return printf("none %d\n", e);
	int fd = open("file", O_RDWR | O_CREAT | O_TRUNC, 0600), p[2]; e = pipe(p);
	for (int round = 0; round < 200; round++) {
		for (int i = 0; i < 32; i++) { struct io_uring_sqe *s = io_uring_get_sqe(&r); memset(buffer[i], round + i, 512);
			io_uring_prep_write(s, fd, buffer[i], 512, (round * 32 + i) * 512L); if (i % 4 == 0) s->flags |= IOSQE_ASYNC; s->user_data = (unsigned)i; }
		io_uring_submit(&r);
		for (int i = 0; i < 32; i++) { int w = io_uring_wait_cqe(&r, &c); if (w) return printf("wait %d\n", w); sum += c->res; free(malloc(100)); io_uring_cqe_seen(&r, c); }
	}
	struct __kernel_timespec t = {.tv_nsec = 300000000}; struct io_uring_sqe *s = io_uring_get_sqe(&r);
	io_uring_prep_timeout(s, &t, 0, 0); io_uring_submit(&r); e = io_uring_wait_cqe(&r, &c); printf("timeout %d %d\n", e, c->res); io_uring_cqe_seen(&r, c);
	s = io_uring_get_sqe(&r); io_uring_prep_read(s, p[0], buffer[0], 5, 0); io_uring_submit(&r); e = (int)write(p[1], "hello", 5);
	e = io_uring_wait_cqe(&r, &c); printf("read %d %d\n", e, c->res); io_uring_cqe_seen(&r, c);
	if (fork() == 0) _exit(6); int status; wait(&status); printf("%d\n", status >> 8);
	io_uring_queue_exit(&r); printf("%ld\n", sum); unlink("file"); return 0;
}
int main(void) { rounds(0); rounds(IORING_SETUP_SQPOLL); rounds(IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN); return 2; }
C
env -u LD_PRELOAD gcc -O1 a.c -o a -luring 2>/dev/null || { echo none; exit; }
./a; echo $?
SCRIPT

program qt /usr/bin/python3 <<'SCRIPT'
/usr/bin/python3 -c 'import PyQt5.QtWidgets' 2>/dev/null || { echo none; exit; }
export QT_QPA_PLATFORM=offscreen HOME=$PWD XDG_RUNTIME_DIR=$PWD; chmod 700 .
cat >a.py <<'PYTHON'
import sys, signal
from PyQt5 import QtCore, QtGui, QtWidgets
app = QtWidgets.QApplication(sys.argv)
w = QtWidgets.QTextEdit('text ' * 2000); w.resize(400, 300); w.show()
class T(QtCore.QThread):
    done = QtCore.pyqtSignal(int)
    def run(self): self.done.emit(sum(range(300000)))
got = []; ts = [T() for _ in range(8)]
for t in ts: t.done.connect(got.append); t.start()
p = QtCore.QProcess(); p.finished.connect(lambda code, how: print('process', code, bytes(p.readAllStandardOutput()))); p.start('sh', ['-c', 'echo x; exit 3'])
n = [0]
def tick():
    n[0] += 1; w.setPlainText(str(n[0]) * 500); w.grab()
    if n[0] == 30: app.exit(5)
timer = QtCore.QTimer(); timer.timeout.connect(tick); timer.start(20)
code = app.exec_(); [t.wait() for t in ts]; print(code, len(got), set(got)); sys.exit(code)
PYTHON
/usr/bin/python3 a.py 2>/dev/null; echo $?
SCRIPT

program expect expect dash <<'SCRIPT'
cat >a.exp <<'EXPECT'
set timeout 20
set env(PS1) {>>}
set env(TERM) dumb
spawn dash -i
expect ">>"
for {set i 1} {$i < 20} {incr i} {
	send "echo =\$(($i * 7)).\r"
	expect -re "=(\[0-9]+)\\." { send_user "\ngot $expect_out(1,string)\n" } timeout { send_user "\nlate\n" }
	expect ">>"
}
send "sleep 30\r"; sleep 0.5; send "\003"; expect ">>" { send_user "\ninterrupted\n" } timeout { send_user "\nlate\n" }
send "exit 7\r"; expect eof; send_user "\nstatus [lindex [wait] 3]\n"
EXPECT
expect a.exp | tr -d '\r' | grep -E '^(got|late|interrupted|status)'; echo "${PIPESTATUS[0]}"
SCRIPT

program terminals tmux screen script <<'SCRIPT'
mkdir -m 700 any; export TMUX_TMPDIR=$PWD/any SCREENDIR=$PWD/any TERM=xterm HOME=$PWD
tmux -f /dev/null new-session -d -s w "sh -c 'echo in tmux; sleep 1; exit 3' >any/t1; echo \$? >any/t2"
tmux new-window -t w 'python3 -c "import time; print(time.sleep(0.5))" >any/t3'
for ((i = 0; i < 100; i++)); do tmux has-session -t w 2>/dev/null || break; sleep 0.1; done
cat any/t1 any/t2 any/t3; tmux kill-server 2>/dev/null
screen -D -m -S w sh -c 'echo in screen >any/s1; tty >/dev/null && echo tty >>any/s1; exit 4'; echo $?; cat any/s1
script -qec 'tty >/dev/null && echo tty; exit 6' /dev/null | tr -d '\r'; echo "${PIPESTATUS[0]}"
SCRIPT

program debuggers gdb gcc strace ltrace <<'SCRIPT'
mkdir any && cd any; export DEBUGINFOD_URLS= HOME=$PWD
cat >a.c <<'C'
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
static int done; static void *work(void *p) { for (clock_t end = clock() + CLOCKS_PER_SEC / 4; clock() < end;) free(malloc(10)); return p; }
void stop_here(int n) { printf("here %d\n", n); fflush(stdout); }
int main(void) { pthread_t t[3]; for (int i = 0; i < 3; i++) pthread_create(t + i, 0, work, 0); for (int i = 0; i < 3; i++) { pthread_join(t[i], 0); stop_here(i); }
	raise(SIGUSR2); done = 1; return 5 + !done; }
C
env -u LD_PRELOAD gcc -g -O1 a.c -o a -pthread
gdb -nx -batch -ex 'set startup-with-shell off' -ex 'handle SIGPROF nostop noprint pass' -ex 'handle SIGUSR2 nopass' -ex 'break stop_here' -ex run -ex bt -ex continue -ex continue -ex 'print n' -ex continue -ex continue ./a 2>&1 |
	grep -E '^(here|#|\$|Program received|.*exited)' | sed 's/process [0-9]*//; s/Thread 0x[^)]*)//'
# Without a word about SIGPROF, which gdb passes on in silence anyway.
gdb -nx -batch -ex run -ex bt -ex kill --args ./a 2>&1 | grep -E '^(here|#|Program received|.*exited)' | grep -E 'here|SIGUSR2|main'
strace -f -e trace=write -e signal=none -o trace ./a; echo $?; grep -c '"here' trace
ltrace -f -e raise -o ltrace.out ./a; echo $?
(./a; echo $?) & for ((i = 0; i < 4; i++)); do sleep 0.05; gdb -nx -batch -p "$(pgrep -P $! -x a || echo $!)" -ex 'thread apply all bt 1' -ex detach >/dev/null 2>&1; done; wait
SCRIPT

program valgrind valgrind gcc <<'SCRIPT'
mkdir any && cd any
cat >a.c <<'C'
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
static void *work(void *p) { long s = 0; for (int i = 0; i < 2000; i++) { char *q = malloc(i + 1); memset(q, i, i + 1); s += q[i / 2]; free(q); } return (void *)s; }
int main(void) { pthread_t t[3]; void *r; for (int i = 0; i < 3; i++) pthread_create(t + i, 0, work, 0); for (int i = 0; i < 3; i++) { pthread_join(t[i], &r); printf("%ld\n", (long)r); }
	int status; fflush(stdout); if (fork() == 0) _exit(6); wait(&status); printf("%d\n", status >> 8); if (strchr(malloc(3), 7) == (char *)1) puts("never"); return 4; }
C
env -u LD_PRELOAD gcc -g a.c -o a -pthread
for tool in none memcheck callgrind massif; do valgrind -q --tool=$tool --log-file=log ./a; echo $?; done
SCRIPT

program git git <<'SCRIPT'
mkdir any && cd any; export HOME=$PWD GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b GIT_AUTHOR_DATE='2020-01-01 00:00:00 +0000' GIT_COMMITTER_DATE='2020-01-01 00:00:00 +0000'
git -c init.defaultBranch=m init -q r; cd r
for ((i = 0; i < 12; i++)); do for ((j = 0; j < 20; j++)); do seq $((i * j)) $((i * j + 300)) >"f$j"; done; git add . && git commit -qm "$i" || echo failed; done
git gc -q --aggressive --prune=now; echo $?; git -c pack.threads=4 repack -adfq; echo $?
git fsck 2>&1; git rev-parse HEAD; cd ..
git clone -q --no-local r c; echo $?; git -C c log --oneline | md5sum; git -C c grep -c 299 | md5sum
git -C c checkout -qb x HEAD~3; git -C c rebase -q m 2>&1; git -C c rev-parse HEAD; git -C c blame f3 | md5sum; git -C c submodule status; git -C c stash list
git daemon --base-path="$PWD" --export-all --port=$((20000 + $$ % 10000)) --listen=127.0.0.1 2>/dev/null & sleep 1
git clone -q "git://127.0.0.1:$((20000 + $$ % 10000))/r" d; echo $?; git -C d rev-parse HEAD; kill $!; wait $! 2>/dev/null; echo $?
SCRIPT

program builds make gcc g++ ar <<'SCRIPT'
mkdir any && cd any
for ((i = 0; i < 12; i++)); do printf '#include <stdio.h>\n#include <stdlib.h>\nint f%d(int a) { char *p = malloc(a + %d); int s = p != 0; for (int i = 0; i < a; i++) s += i * %d; free(p); return s; }\n' $i $i $i >f$i.c; done
{ for ((i = 0; i < 12; i++)); do echo "int f$i(int);"; done; echo '#include <stdio.h>'; echo 'int main(void) { int s = 0;'; for ((i = 0; i < 12; i++)); do echo "s += f$i(10);"; done; echo 'printf("%d\n", s); return 3; }'; } >main.c
printf 'O = main.o %s\nCFLAGS = -O2 -flto=2 -g\na: $(O)\n\t+gcc $(CFLAGS) -o $@ $^\n%%.o: %%.c\n\tgcc $(CFLAGS) -c -o $@ $<\nfail:\n\t@false\n' "$(echo f{0..11}.o)" >Makefile
make -s -j4 a 2>&1; echo $?; ./a; echo $?; make -s -j4 fail >/dev/null 2>&1; echo $?
gcc -pipe -O2 -S -o - f3.c | md5sum; ar rcs l.a f*.o && ar t l.a | md5sum; strip -o s a && objdump -d s | sed 1,3d | md5sum
echo 'int main() { return 1 }' | gcc -xc - 2>&1; echo $?
SCRIPT

program packers tar xz zstd pigz bzip2 openssl <<'SCRIPT'
mkdir any && cd any; seq 200000 >text; mkdir d; split -l 20000 text d/
tar -cf - --sort=name --mtime=@0 --owner=0 --group=0 d | xz -T2 --block-size=1MiB -1 >a.xz; echo "${PIPESTATUS[*]}"
xz -T2 -dc a.xz | tar -xOf - | cmp - text; echo $?
tar -I 'zstd -T2' -cf a.tzst d; echo $?; tar -I zstd -tf a.tzst | wc -l; pigz -p 3 -c text | gzip -dc | cmp - text; echo $?; bzip2 -c text | bzip2 -d | cmp - text; echo $?
openssl enc -aes-256-ctr -pass pass:x -pbkdf2 -nosalt -in text | md5sum; openssl speed -multi 2 -seconds 1 sha256 >/dev/null 2>&1; echo $?
openssl genrsa 2048 2>/dev/null | openssl rsa -check -noout 2>&1; head -c 5 <(yes) | md5sum; yes | head -n 100000 | sort -S 1M --parallel=4 | uniq -c
sort --parallel=4 -S 2M -R --random-source=text text | sort -n --parallel=3 -S 2M | cmp - text; echo $?
SCRIPT

program rsync rsync <<'SCRIPT'
mkdir any && cd any; mkdir s; for ((i = 0; i < 60; i++)); do seq $i $((i + 5000)) >s/$i; done; ln -s 3 s/link; chmod 640 s/5
port=$((20000 + $$ % 10000)); printf 'use chroot = no\n[m]\npath = %s\nread only = no\nuid = root\n' "$PWD/s" >conf
rsync -a s/ d; echo $?; diff -r s d; echo changed >>s/7; rsync -ai --delete --no-times -c s/ d; echo $?
rsync --daemon --no-detach --config=conf --port=$port --address=127.0.0.1 --log-file=log & for ((i = 0; i < 100; i++)); do (exec 3<>/dev/tcp/127.0.0.1/$port) 2>/dev/null && break; sleep 0.1; done
rsync -az "rsync://127.0.0.1:$port/m/" e; echo $?; diff -r s e; rsync -a --timeout=5 d/ "rsync://127.0.0.1:$port/m/sub"; echo $?; ls s/sub | wc -l; kill $!; wait $!; echo $?
SCRIPT

program curl curl python3 <<'SCRIPT'
mkdir any && cd any; seq 100000 >file; port=$((20000 + $$ % 10000))
python3 -m http.server --bind 127.0.0.1 $port >/dev/null 2>&1 & for ((i = 0; i < 100; i++)); do (exec 3<>/dev/tcp/127.0.0.1/$port) 2>/dev/null && break; sleep 0.1; done
curl -sZ --parallel-max 5 $(for ((i = 0; i < 20; i++)); do echo "http://127.0.0.1:$port/file -o o$i"; done) 2>/dev/null; echo $?; md5sum o* | awk '{ print $1 }' | uniq -c
curl -s -m 5 http://127.0.0.1:1/; echo $?; curl -s --connect-timeout 1 http://10.255.255.1/; echo $? | sed 's/^\(7\|28\)$/refused/'; curl -s --limit-rate 500k "http://127.0.0.1:$port/file" | md5sum; curl -sI "http://127.0.0.1:$port/none" | head -1; kill $!; wait $! 2>/dev/null; echo $?
SCRIPT

program perl perl <<'SCRIPT'
cat >a.pl <<'PERL'
use strict; use Config; use threads; use threads::shared; use POSIX (); use Time::HiRes qw(ualarm sleep setitimer ITIMER_REAL ITIMER_PROF);
$| = 1; my ($p, $q); my $n = 0; local $SIG{ALRM} = sub { $n++ }; setitimer(ITIMER_REAL, 0.01, 0.01); 1 while $n < 10; setitimer(ITIMER_REAL, 0); print "alarms\n";
my $prof = 0; $SIG{PROF} = sub { $prof++ }; setitimer(ITIMER_PROF, 0.02, 0.02); my $x = 0; while ($prof < 5) { $x++ } setitimer(ITIMER_PROF, 0); print "prof\n"; $SIG{PROF} = 'DEFAULT';
eval { local $SIG{ALRM} = sub { die "late\n" }; alarm 1; select(undef, undef, undef, 9); alarm 0 }; print $@;
my @kids = map { my $k = fork; if (!$k) { my $s = 0; $s += $_ for 1 .. 200000; POSIX::_exit($s % 100 + $_) } $k } 1 .. 8; print join(' ', map { waitpid $_, 0; $? >> 8 } @kids), "\n";
print `echo tick`, $? >> 8, "\n"; system('exit 3'); print $? >> 8, "\n"; open my $h, '-|', 'seq 3' or die; print <$h>; close $h;
my $sum :shared = 0; $_->join for map { threads->create(sub { for (1 .. 2000) { lock($sum); $sum++ } }) } 1 .. 6; print "$sum\n";
my %h; $h{$_ % 5000} .= $_ for 1 .. 300000; my $l = 0; $l += length for values %h; print "$l\n"; print "deep ", deep(50000), "\n"; sub deep { no warnings; my $n = shift; $n ? 1 + deep($n - 1) : 0 }
exec 'perl', '-e', 'exit 9';
PERL
perl a.pl; echo $?
SCRIPT

program tcl tclsh8.6 lua5.4 <<'SCRIPT'
cat >a.tcl <<'TCL'
after 100 {set done 1}; vwait done; puts [exec echo x | cat]; catch {exec sh -c {exit 3}} m o; puts [dict get $o -errorcode]
coroutine c apply {{} { for {set i 0} {$i < 10000} {incr i} { yield $i } }}; for {set i 0} {$i < 9999} {incr i} { c }; puts [c]
catch {package require Thread; puts [thread::send [thread::create] {expr 6 * 7}]}; proc deep n { if {$n} { deep [expr $n - 1] } }; puts [catch {deep 100000}]; exit 5
TCL
tclsh8.6 a.tcl 2>&1 | sed 's/CHILDSTATUS [0-9]*/CHILDSTATUS/'; echo "${PIPESTATUS[0]}"
cat >a.lua <<'LUA'
local t = {} for i = 1, 200000 do t[i] = {i} end collectgarbage() print(#t, select('#', table.unpack(t, 1, 200)))
local c = coroutine.wrap(function() for i = 1, 100000 do coroutine.yield(i) end end) local s = 0 for i = 1, 100000 do s = s + c() end print(s)
print(pcall(function() local function deep() return 1 + deep() end return deep() end) == false, pcall(string.rep, 'x', 1 << 40) == false) print(io.popen('echo p'):read('a'), os.execute('exit 3')) os.exit(6, true)
LUA
lua5.4 a.lua; echo $?
SCRIPT

program r Rscript <<'SCRIPT'
cat >a.R <<'R'
set.seed(1); m <- matrix(runif(90000), 300); cat(round(sum(solve(m + diag(300) * 50)), 8), length(svd(m)$d), "\n")
library(parallel); cat(unlist(mclapply(1:8, function(i) sum((1:100000) %% i), mc.cores = 4)), "\n")
cl <- makeCluster(2); cat(unlist(parLapply(cl, 1:6, function(i) i^2)), "\n"); stopCluster(cl)
cat(tryCatch({ setTimeLimit(elapsed = 1, transient = TRUE); repeat {} }, error = function(e) "limit"), "\n"); setTimeLimit()
f <- function(n) f(n + 1); cat(tryCatch(f(0), error = function(e) "deep"), "\n"); x <- lapply(1:200000, function(i) c(i, i)); invisible(gc()); cat(length(x), system("exit 4"), system("echo y", intern = TRUE), "\n")
Rprof("p", interval = 0.01); t <- proc.time()[[1]]; while (proc.time()[[1]] < t + 0.6) sort(runif(1000)); Rprof(NULL); cat(length(readLines("p")) > 10, "\n"); unlink("p")
quit(status = 7)
R
Rscript --vanilla a.R 2>&1; echo $?
SCRIPT

program octave octave-cli <<'SCRIPT'
export HOME=$PWD
octave-cli --no-init-file --no-history --quiet --eval 'a = magic(200); printf("%d %d\n", sum((a*a)(:)), rank(a)); x = cell(1,50000); for i=1:50000, x{i} = [i i]; end; disp(numel(x)); [s,o] = system("echo y; exit 3"); printf("%d %s", s, o); try, error("a:b","thrown"); catch e, disp(e.message); end; [u,v]=ode45(@(t,y) -y,[0 1],1); printf("%.4f\n", v(end)); exit(6)' 2>&1; echo $?
rm -rf .config .local .octave* .cache
SCRIPT

program mono mono mcs <<'SCRIPT'
mkdir any && cd any; export HOME=$PWD
cat >a.cs <<'CS'
using System; using System.Collections.Generic; using System.Diagnostics; using System.Linq; using System.Threading; using System.Threading.Tasks;
class A { static int Deep(int n) { return Deep(n + 1) + 1; }
	static int Main() {
		Console.WriteLine(Enumerable.Range(0, 300000).AsParallel().Select(i => (long)i % 7).Sum());
		object o = null; try { o.GetHashCode(); } catch (NullReferenceException) { Console.WriteLine("null"); }
		try { int z = 0; Console.WriteLine(1 / z); } catch (DivideByZeroException) { Console.WriteLine("zero"); }
		try { Deep(0); } catch (StackOverflowException) { Console.WriteLine("deep"); }
		var l = new List<byte[]>(); for (int i = 0; i < 20000; i++) { l.Add(new byte[1000]); if (i % 100 == 0) l.Clear(); } GC.Collect(); Console.WriteLine(l.Count);
		var ts = Enumerable.Range(0, 10).Select(i => new Thread(() => { for (int k = 0; k < 20000; k++) new object(); })).ToList(); ts.ForEach(t => t.Start()); ts.ForEach(t => t.Join());
		var e = new Thread(() => { try { Thread.Sleep(9000); } catch (ThreadInterruptedException) { Console.WriteLine("interrupted"); } }); e.Start(); Thread.Sleep(100); e.Interrupt(); e.Join();
		var p = Process.Start(new ProcessStartInfo("sh", "-c \"echo x; exit 3\"") { RedirectStandardOutput = true, UseShellExecute = false }); Console.Write(p.StandardOutput.ReadToEnd()); p.WaitForExit(); Console.WriteLine(p.ExitCode);
		Console.WriteLine(Task.WhenAll(Enumerable.Range(0, 50).Select(async i => { await Task.Delay(10); return i; })).Result.Sum()); return 8; } }
CS
mcs -r:System.Core.dll a.cs 2>&1 && mono a.exe; echo $?
SCRIPT

program prolog swipl <<'SCRIPT'
export HOME=$PWD
cat >a.pl <<'PROLOG'
deep(0) :- !. deep(N) :- M is N - 1, deep(M), true.
sum(0, S, S) :- !. sum(N, A, S) :- B is A + N, M is N - 1, sum(M, B, S).
square(X, Y) :- Y is X * X.
:- initialization(main).
main :- deep(300000), sum(1000000, 0, S), writeln(S), concurrent_maplist(square, [1, 2, 3, 4, 5, 6], Q), writeln(Q),
 catch(call_with_time_limit(0.3, sleep(9)), _, writeln(limit)), thread_create(true, T, []), thread_join(T, R), writeln(R),
 shell('exit 3', C), writeln(C), garbage_collect, halt(5).
PROLOG
swipl -q a.pl 2>&1; echo $?; rm -rf .config .local .cache
SCRIPT

program images convert gs <<'SCRIPT'
export HOME=$PWD OMP_NUM_THREADS=4
convert -size 400x300 plasma:fractal -seed 3 -blur 0x3 a.png 2>&1; echo $?; convert -size 500x400 gradient:red-blue -rotate 30 -resize 50% -sharpen 0x1 -depth 8 rgb:- | md5sum; rm -f a.png
printf '%%!\n/Times-Roman findfont 40 scalefont setfont 1 1 60 { dup 10 mul 50 moveto (x) show pop } for showpage\n' | gs -q -dNOPAUSE -dBATCH -dSAFER -dNumRenderingThreads=4 -sDEVICE=ppmraw -r60 -sOutputFile=- - | md5sum
SCRIPT

program shells bash dash busybox parallel <<'SCRIPT'
export HOME=$PWD
seq 40 | parallel --will-cite -j 8 'echo $(({} * {}))' | sort -n | md5sum; parallel --will-cite -j 4 'exit {}' ::: 1 0 3; echo $?; rm -rf .parallel
bash -c 'trap "echo term" TERM; kill -TERM $$; trap "echo chld" CHLD; set -m; sleep 0.2 & wait; coproc cat; echo hi >&${COPROC[1]}; read -r l <&${COPROC[0]}; echo $l; kill %2 2>/dev/null; exit 3' 2>/dev/null; echo $?
dash -c 'i=0; while [ $i -lt 300 ]; do (exit $i); i=$((i + 1)); done; x=$(seq 1000 | (read a; cat) | tail -1); echo $x; trap "echo bye" EXIT; ulimit -n 5; exit 4'; echo $?
busybox sh -c 'for i in 1 2 3; do echo $i | sed s/1/one/; done; exit 5'; echo $?
timeout -k 1 0.5 bash -c 'trap "" TERM; while :; do :; done'; echo $?
start-stop-daemon --start --background --make-pidfile --pidfile "$PWD/p" --exec /bin/sleep -- 0.5; echo $?; for ((i = 0; i < 50; i++)); do [ -s p ] && break; sleep 0.1; done; kill -0 "$(<p)" && echo runs; sleep 1; start-stop-daemon --status --pidfile "$PWD/p"; echo $?; rm -f p
SCRIPT

witness_all
((checks_made)) || skip_test "none of these programs is here"
finish
