#!/bin/bash
# SPDX-License-Identifier: MIT
# Programs of a Debian system, each with runtimes, handlers, threads or processes of a kind of its own; see
# ../integration/witness.sh.
set -euo pipefail
source "$(dirname "$0")/../integration/lib.sh"
source "$HERE/hostile.sh"
source "$HERE/witness.sh"

program ruby ruby <<'SCRIPT'
cat >a.rb <<'RUBY'
require 'open3'; require 'timeout'; require 'socket'
trap('USR1') { puts 'usr1' }; Process.kill('USR1', $$); sleep 0.1; trap('USR1', 'DEFAULT')
n = 0; trap('PROF') { n += 1 }; Process.kill('PROF', $$); sleep 0.1; puts n; trap('PROF', 'DEFAULT')
puts (1..20).map { |i| Thread.new { x = 0; 50000.times { |j| x += j }; x } }.map(&:value).sum
f = Fiber.new { 10000.times { |i| Fiber.yield i }; :done }; 10000.times { f.resume }; puts f.resume
puts 5000.times.map { Fiber.new { 1 } }.sum(&:resume)
begin; Timeout.timeout(0.2) { loop {} }; rescue Timeout::Error; puts 'timeout'; end
o, s = Open3.capture2('cat', stdin_data: 'abc'); puts o, s.exitstatus
pid = fork { exit 7 }; Process.wait pid; puts $?.exitstatus
pid = fork { sleep }; sleep 0.1; Process.kill('TERM', pid); Process.wait pid; puts $?.termsig
def deep(n) deep(n + 1) end; begin; deep(0); rescue SystemStackError; puts 'deep'; end
begin; Process.wait(-1); rescue => e; puts e.class; end
at_exit { puts 'bye' }; exit 5
RUBY
ruby a.rb
SCRIPT

program php php <<'SCRIPT'
cat >a.php <<'PHP'
<?php
pcntl_async_signals(true); pcntl_signal(SIGUSR1, function () { echo "usr1\n"; }); posix_kill(posix_getpid(), SIGUSR1); usleep(1000);
$n = 0; pcntl_signal(SIGPROF, function () use (&$n) { $n++; }); posix_kill(posix_getpid(), SIGPROF); usleep(1000); echo $n, "\n"; pcntl_signal(SIGPROF, SIG_DFL);
$p = pcntl_fork(); if (!$p) exit(4); pcntl_waitpid($p, $s); echo pcntl_wexitstatus($s), "\n";
echo shell_exec('echo sh'); $d = proc_open('cat', [['pipe', 'r'], ['pipe', 'w']], $q); fwrite($q[0], "x\n"); fclose($q[0]); echo stream_get_contents($q[1]); echo proc_close($d), "\n";
$f = new Fiber(function () { for ($i = 0; $i < 10000; $i++) Fiber::suspend($i); }); $f->start(); while (!$f->isTerminated()) $f->resume(); echo "fiber\n";
$p = pcntl_fork(); if (!$p) { set_time_limit(1); while (true) { } } pcntl_waitpid($p, $s); echo pcntl_wifexited($s) ? 'exit ' . pcntl_wexitstatus($s) : 'signal ' . pcntl_wtermsig($s), "\n";
ini_set('memory_limit', '20M'); register_shutdown_function(function () { echo "shutdown\n"; }); $z = str_repeat('x', 50 << 20);
PHP
php a.php
SCRIPT

program luajit luajit <<'SCRIPT'
cat >a.lua <<'LUA'
local ffi = require "ffi"
ffi.cdef "int qsort(void*, size_t, size_t, int (*)(const int*, const int*)); void *malloc(size_t); void free(void*);"
local a = ffi.new("int[100]") for i = 0, 99 do a[i] = (i * 37) % 100 end
ffi.C.qsort(a, 100, 4, function(x, y) return x[0] - y[0] end) for i = 0, 99 do assert(a[i] == i) end
local s = 0 for i = 1, 2e7 do s = s + i % 7 end print(s)
for i = 1, 100000 do ffi.C.free(ffi.C.malloc(i % 1000 + 1)) end
local co = coroutine.wrap(function() for i = 1, 100000 do coroutine.yield(i) end end) for i = 1, 100000 do s = s + co() end print(s)
print((pcall(function() local function deep() return 1 + deep() end return deep() end)))
LUA
luajit a.lua
SCRIPT

program sbcl sbcl <<'SCRIPT'
cat >a.lisp <<'LISP'
(let ((l nil)) (dotimes (i 1000000) (push (list i) l)) (print (length l))) (gc :full t)
(print (handler-case (/ 1 (- 1 1)) (division-by-zero () :division)))
(print (handler-case (sb-ext:with-timeout 0.3 (loop)) (sb-ext:timeout () :timeout)))
(print (mapcar #'sb-thread:join-thread (loop for i below 8 collect (let ((i i)) (sb-thread:make-thread (lambda () (let ((x 0)) (dotimes (j 300000) (incf x (length (list j i)))) (+ x i))))))))
(print (sb-ext:process-exit-code (sb-ext:run-program "/bin/sh" '("-c" "exit 4"))))
(terpri) (finish-output) (sb-ext:exit :code 9)
LISP
sbcl --script a.lisp
SCRIPT

program guile guile <<'SCRIPT'
export HOME=$PWD GUILE_AUTO_COMPILE=0
cat >a.scm <<'SCHEME'
(use-modules (ice-9 threads) (ice-9 popen) (ice-9 rdelim))
(display (apply + (par-map (lambda (i) (* i i)) (iota 100)))) (newline)
(define (loop n acc) (if (= n 0) acc (loop (- n 1) (cons n acc)))) (display (length (loop 300000 '()))) (newline)
(sigaction SIGUSR1 (lambda (s) (display "usr1\n"))) (kill (getpid) SIGUSR1) (usleep 1000)
(define p (open-input-pipe "echo pipe")) (display (read-line p)) (newline) (close-pipe p)
(gc) (exit 7)
SCHEME
guile a.scm
SCRIPT

program erlang erl erlc <<'SCRIPT'
export HOME=$PWD
mkdir any && cd any
cat >a.erl <<'ERLANG'
-module(a). -export([main/0, f/1]).
f(0) -> 0; f(N) -> 1 + f(N - 1).
main() -> S = self(), [spawn(fun() -> S ! {I, f(1000)} end) || I <- lists:seq(1, 20000)],
 io:format("~p~n", [lists:sum([receive {_, N} -> N end || _ <- lists:seq(1, 20000)])]),
 P = open_port({spawn, "sh -c 'exit 3'"}, [exit_status]), receive {P, {exit_status, E}} -> io:format("~p~n", [E]) end,
 io:format("~s", [os:cmd("echo cmd")]), halt(4).
ERLANG
erlc a.erl && erl -noshell -s a main
SCRIPT

program ocaml ocaml <<'SCRIPT'
cat >a.ml <<'OCAML'
#load "unix.cma";;
let r = ref 0;; Sys.set_signal Sys.sigalrm (Sys.Signal_handle (fun _ -> incr r));;
ignore (Unix.setitimer Unix.ITIMER_REAL {Unix.it_interval=0.01; it_value=0.01});;
let t = Unix.gettimeofday () in while !r < 5 && Unix.gettimeofday () -. t < 30. do ignore (Array.make 100 0) done;; print_endline (if !r >= 5 then "alarms" else "none");;
let rec deep n = if n = 0 then 0 else 1 + deep (n-1);; (try ignore (deep 100000000) with Stack_overflow -> print_endline "deep");;
ignore (Unix.setitimer Unix.ITIMER_REAL {Unix.it_interval=0.; it_value=0.});;
(match Unix.fork () with 0 -> Unix._exit 3 | p -> (match Unix.waitpid [] p with _, Unix.WEXITED n -> print_int n | _ -> print_string "?"));; print_newline ();; exit 6;;
OCAML
ocaml a.ml
SCRIPT

program node node <<'SCRIPT'
mkdir any && cd any
cat >a.mjs <<'NODE'
import {Worker} from 'worker_threads'; import cp from 'child_process'; import zlib from 'zlib'; import crypto from 'crypto'; import fs from 'fs';
process.on('SIGUSR2', () => console.log('usr2')); process.kill(process.pid, 'SIGUSR2'); await new Promise(r => setTimeout(r, 200));
console.log(await Promise.all([1, 2, 3].map(i => new Promise((ok, bad) => { const w = new Worker(`const {parentPort,workerData}=require('worker_threads');let x=0;for(let i=0;i<3e6;i++)x+=i%workerData;parentPort.postMessage(x)`, {eval: true, workerData: i + 1}); w.on('message', ok); w.on('error', bad) }))));
console.log(cp.spawnSync('sh', ['-c', 'exit 3']).status, cp.execSync('echo b').toString());
console.log(await new Promise(r => { const c = cp.spawn('sleep', ['10']); c.on('exit', (a, b) => r([a, b])); c.kill('SIGTERM') }));
console.log(zlib.gunzipSync(zlib.gzipSync(Buffer.alloc(1e6, 'x'))).length, crypto.pbkdf2Sync('a', 'b', 10000, 32, 'sha256').toString('hex'));
try { (function f() { f() })() } catch (e) { console.log(e.constructor.name) }
process.on('exit', c => console.log('exit', c)); process.exitCode = 7;
NODE
node a.mjs; echo $?
{ node --max-old-space-size=20 -e 'let a=[];for(;;)a.push(new Array(1000).fill(1.5))'; } >/dev/null 2>&1; echo $?
# Its own profiler, by SIGPROF.
node --cpu-prof --cpu-prof-name=p.json -e 'for(let t=process.cpuUsage().user;process.cpuUsage().user<t+5e5;);'; echo $?
node -e 'const p=JSON.parse(require("fs").readFileSync("p.json"));console.log(p.samples.length>100)'
SCRIPT

program java java javac <<'SCRIPT'
mkdir any && cd any
cat >A.java <<'JAVA'
import java.util.*; import java.util.concurrent.*; import java.util.stream.*;
public class A {
	static void deep() { deep(); }
	public static void main(String[] a) throws Exception {
		System.out.println(IntStream.range(0, 5000000).parallel().mapToLong(i -> i % 7).sum());
		try { deep(); } catch (StackOverflowError e) { System.out.println("deep"); }
		try { Object o = null; o.hashCode(); } catch (NullPointerException e) { System.out.println("null"); }
		try { List<byte[]> l = new ArrayList<>(); for (;;) l.add(new byte[10 << 20]); } catch (OutOfMemoryError e) { System.out.println("memory"); }
		Process p = new ProcessBuilder("sh", "-c", "echo hi; exit 3").redirectErrorStream(true).start();
		System.out.print(new String(p.getInputStream().readAllBytes())); System.out.println(p.waitFor());
		Thread t = new Thread(() -> { try { Thread.sleep(10000); } catch (InterruptedException x) { System.out.println("interrupted"); } }); t.start(); t.interrupt(); t.join();
		Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println("hook")));
		if (a.length > 0) { new ProcessBuilder("kill", "-" + a[0], "" + ProcessHandle.current().pid()).start().waitFor(); Thread.sleep(3000); }
		System.exit(4);
	}
}
JAVA
javac A.java
for collector in Serial G1 Parallel Z; do java -Xmx64m -XX:+Use${collector}GC A; echo $?; done
java -Xmx64m A TERM; echo $?; java -Xmx64m A HUP; echo $?
SCRIPT

program go-cgo go gcc <<'SCRIPT'
mkdir any && cd any
export HOME=$PWD GOCACHE=$WITNESS/gocache GO111MODULE=off GOTELEMETRY=off
cat >a.go <<'GO'
package main
// #include <stdlib.h>
import "C"
import ("bytes"; "fmt"; "os"; "os/exec"; "os/signal"; "runtime/pprof"; "sync"; "syscall"; "time")
func deep(n int) int { if n == 0 { return 0 }; return deep(n-1) + 1 }
func used() time.Duration { var u syscall.Rusage; syscall.Getrusage(0, &u); return time.Duration(u.Utime.Nano()) }
func main() {
	var w sync.WaitGroup
	for i := 0; i < 1000; i++ { w.Add(1); go func() { defer w.Done(); C.free(C.malloc(100)); deep(1000) }() }
	w.Wait()
	c := make(chan os.Signal, 1); signal.Notify(c, syscall.SIGUSR1); syscall.Kill(os.Getpid(), syscall.SIGUSR1); fmt.Println(<-c)
	func() { defer func() { fmt.Println(recover()) }(); var p *int; *p = 1 }()
	o, e := exec.Command("sh", "-c", "echo x; exit 3").CombinedOutput(); fmt.Printf("%s %v\n", o, e)
	var b bytes.Buffer; pprof.StartCPUProfile(&b)
	s := used()
	for i := 0; i < 4; i++ { w.Add(1); go func() { defer w.Done(); for used() < s+800*time.Millisecond { deep(1000) } }() }
	w.Wait(); pprof.StopCPUProfile(); os.WriteFile("profile", b.Bytes(), 0600); os.Exit(6)
}
GO
go build -o a a.go && ./a; echo $?
# Its own profiler, of 0.8 s of all threads.
samples=$("$PPROFQ" profile total samples); echo $((samples > 50 && samples < 200))
cat >p.go <<'GO'
package main
import "fmt"
func main() { fmt.Println("no libc") }
GO
CGO_ENABLED=0 go build -buildmode=pie -o p p.go && for i in 1 2 3 4 5 6 7 8 9 10; do ./p; echo $?; done
SCRIPT

program sandboxes unshare python3 <<'SCRIPT'
unshare -Upfr --mount-proc sh -c 'python3 -c "print(sum(range(3000000)))"; exit 4' 2>&1; echo $?
setsid -w sh -c 'exit 3'; echo $?; timeout 1 python3 -c 'while 1: pass'; echo $?
taskset -c 0 python3 -c 'import os,threading; t=threading.Thread(target=lambda: print(os.sched_getaffinity(0))); t.start(); t.join()'
chrt -b 0 nice -n 10 python3 -c 'import os; print(os.nice(0), os.sched_getscheduler(0))'
SCRIPT

program pty python3 <<'SCRIPT'
cat >a.py <<'PYTHON'
import os, pty, select, signal, time
def run(command, act):
    pid, fd = pty.fork()
    if pid == 0:
        os.execvp(command[0], command)
    act(fd)
    print(command[0], os.waitpid(pid, 0)[1])
def press(key):
    def act(fd):
        time.sleep(1.5)
        os.write(fd, key)
    return act
spin = ["python3", "-c", "while True: pass"]
run(spin, press(b"\x03"))
run(spin, press(b"\x1c"))
def hang_up(fd):
    time.sleep(1.5)
    os.close(fd)
run(spin, hang_up)
run(["sleep", "60"], hang_up)
PYTHON
ulimit -c 0
python3 a.py
SCRIPT

program sshd /usr/sbin/sshd ssh ssh-keygen <<'SCRIPT'
mkdir any /run/sshd 2>/dev/null; cd any
ssh-keygen -q -t ed25519 -N '' -f host; ssh-keygen -q -t ed25519 -N '' -f own; cp own.pub keys; chmod 600 keys
port=$((20000 + $$ % 10000))
printf '%s\n' "Port $port" "ListenAddress 127.0.0.1" "HostKey $PWD/host" "AuthorizedKeysFile $PWD/keys" "PidFile none" \
	"StrictModes no" "UsePAM no" "PermitRootLogin yes" >conf
/usr/sbin/sshd -D -e -f "$PWD/conf" >log 2>&1 &
for ((i = 0; i < 100; i++)); do (exec 3<>/dev/tcp/127.0.0.1/$port) 2>/dev/null && break; sleep 0.1; done
run() { ssh -q -p $port -i own -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o BatchMode=yes "$(id -un)@127.0.0.1" "$@"; }
run 'echo hi; exit 7'; echo $?
head -c 3000000 /dev/zero | run md5sum; echo $?
run 'kill -9 $$'; echo $?
run 'sleep 1 >/dev/null 2>&1 </dev/null & echo background'; echo $?
kill %1; wait %1; echo $?
sleep 1; grep -ciE 'violation|killed|seccomp' log
SCRIPT

program apache /usr/sbin/apache2 curl <<'SCRIPT'
mkdir any; cd any; chmod 755 ..; mkdir www; head -c 200000 /dev/urandom >www/file
port=$((20000 + $$ % 10000))
for model in event worker prefork; do
	modules=/usr/lib/apache2/modules
	printf '%s\n' "ServerRoot $PWD" "PidFile $PWD/pid" "Listen 127.0.0.1:$port" "ServerName x" "LoadModule mpm_${model}_module $modules/mod_mpm_$model.so" \
		"LoadModule authz_core_module $modules/mod_authz_core.so" "DocumentRoot $PWD/www" "ErrorLog $PWD/log.$model" "User www-data" "Group www-data" >conf
	/usr/sbin/apache2 -f "$PWD/conf" -k start; echo $?
	for ((i = 0; i < 100; i++)); do (exec 3<>/dev/tcp/127.0.0.1/$port) 2>/dev/null && break; sleep 0.1; done
	seq 100 | xargs -P 4 -I{} curl -s -o /dev/null -w '%{http_code}\n' "http://127.0.0.1:$port/file" | sort | uniq -c
	/usr/sbin/apache2 -f "$PWD/conf" -k graceful; sleep 1; curl -s "http://127.0.0.1:$port/file" | cmp - www/file; echo $?
	/usr/sbin/apache2 -f "$PWD/conf" -k stop; for ((i = 0; i < 100; i++)); do [ -e pid ] || break; sleep 0.1; done
	grep -cE 'exit signal|child pid' "log.$model"
done
SCRIPT

program postgres /usr/lib/postgresql/15/bin/initdb setpriv <<'SCRIPT'
mkdir -m 777 any; cd any; chown postgres . ..; bin=/usr/lib/postgresql/15/bin
as() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }
as $bin/initdb -D d -A trust --no-sync >log.init 2>&1; echo $?
start() { as $bin/pg_ctl -D d -w -s -l log -o "-k $PWD -c listen_addresses= -c fsync=off -c jit=off -c min_parallel_table_scan_size=0 -c parallel_setup_cost=0" start; echo start $?; }
stop() { as $bin/pg_ctl -D d -s -w -m "$1" stop; echo "$1" $?; }
ask() { psql -X -q -A -t -h "$PWD" -U postgres -c "$1" postgres 2>&1; }
start
$bin/pgbench -h "$PWD" -U postgres -i -q -s 2 postgres >/dev/null 2>&1; echo $?
$bin/pgbench -h "$PWD" -U postgres -c 4 -j 2 -t 100 postgres 2>&1 | grep -E 'processed|failed'
ask 'select count(*), sum(aid) from pgbench_accounts'; ask 'set statement_timeout=200; select pg_sleep(10)'
stop fast; start; stop smart; start; stop immediate; start
ask 'select count(*) from pgbench_history'
stop fast; grep -ciE 'PANIC|signal 11|signal 6' log
SCRIPT

witness_all
((checks_made)) || skip_test "none of these programs is here"
finish
