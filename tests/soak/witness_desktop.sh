#!/bin/bash
# SPDX-License-Identifier: MIT
# Large programs with sandboxes, allocators, garbage collectors and emulators of their own, without a display; see
# ../integration/witness.sh.
# timeout: 900
set -euo pipefail
source "$(dirname "$0")/../integration/lib.sh"
source "$HERE/hostile.sh"
source "$HERE/witness.sh"

program chromium chromium <<'SCRIPT'
mkdir any && cd any; export HOME=$PWD
cat >a.html <<'HTML'
<body><p id=x>no</p><script>let s=0;for(let i=0;i<3e6;i++)s+=i%7;const w=new Worker(URL.createObjectURL(new Blob(['postMessage(6*7)'])));
w.onmessage=e=>{document.getElementById('x').textContent='sum '+s+' worker '+e.data}</script></body>
HTML
chromium --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --user-data-dir="$PWD/u" --virtual-time-budget=3000 --dump-dom "file://$PWD/a.html" 2>/dev/null | grep -o 'sum.*worker [0-9]*'; echo "${PIPESTATUS[0]}"
SCRIPT

program firefox firefox-esr <<'SCRIPT'
mkdir any && cd any; export HOME=$PWD MOZ_HEADLESS=1 MOZ_DISABLE_CONTENT_SANDBOX=1
echo '<body style="background:rgb(10,20,30)"><script>let s=0;for(let i=0;i<3e6;i++)s+=i%7;document.body.style.background=s==8999994?"rgb(1,2,3)":"red"</script>' >a.html
timeout 60 firefox-esr --headless --no-remote --profile "$PWD" --window-size 100,100 --screenshot "$PWD/a.png" "file://$PWD/a.html" >/dev/null 2>&1; echo $?
/usr/bin/convert a.png -crop 1x1+50+50 txt:- 2>/dev/null | grep -o '#[0-9A-F]*'
SCRIPT

program libreoffice soffice <<'SCRIPT'
mkdir any && cd any; export HOME=$PWD
printf 'a,b\n1,=A2*7\n2,3\n' >a.csv
soffice --headless --convert-to ods a.csv >/dev/null 2>&1; echo $?; soffice --headless --convert-to csv:"Text - txt - csv (StarCalc)":44,34,76 --outdir o a.ods >/dev/null 2>&1; echo $?; cat o/a.csv
SCRIPT

program emacs emacs <<'SCRIPT'
export HOME=$PWD TERM=dumb
cat >a.el <<'LISP'
(princ (format "%d\n" (let ((s 0)) (dotimes (i 500000 s) (setq s (+ s (% i 7)))))))
(garbage-collect) (princ (format "%s" (shell-command-to-string "echo sh")))
(princ (condition-case e (let ((max-lisp-eval-depth 1600)) (defun d (n) (1+ (d n))) (d 0)) (error (format "deep %s\n" (car e)))))
(princ (format "%S\n" (with-timeout (0.3 'late) (sleep-for 9)))) (let ((th (make-thread (lambda () (* 6 7))))) (princ (format "%d\n" (thread-join th))))
(let ((p (start-process "c" nil "sh" "-c" "exit 4"))) (while (process-live-p p) (accept-process-output p 0.1)) (princ (format "%d\n" (process-exit-status p))))
(profiler-start 'cpu) (dotimes (i 2000000) (format "%d" i)) (princ (format "%s\n" (> (hash-table-count (profiler-cpu-log)) 0))) (profiler-stop) (kill-emacs 6)
LISP
emacs -Q --batch -l a.el; echo $?
SCRIPT

program lisps racket clisp <<'SCRIPT'
export HOME=$PWD PLTADDONDIR=$PWD/any
mkdir any
cat >a.rkt <<'RACKET'
#lang racket
(require racket/future)
(define (deep n) (if (= n 0) 0 (+ 1 (deep (- n 1)))))
(displayln (deep 1000000))
(displayln (for/sum ([f (for/list ([i 4]) (future (lambda () (for/sum ([k 300000]) (modulo k 7)))))]) (touch f)))
(define c (make-channel))
(for ([i 50]) (thread (lambda () (channel-put c i))))
(displayln (for/sum ([i 50]) (channel-get c)))
(collect-garbage)
(exit 5)
RACKET
racket a.rkt; echo $?
clisp -q -norc -x '(progn (print (length (loop for i below 300000 collect (list i)))) (gc) (print (handler-case (/ 1 0) (division-by-zero () :zero))) (ext:exit 6))' 2>&1; echo $?
SCRIPT

program haskell shellcheck <<'SCRIPT'
for ((i = 0; i < 300; i++)); do echo "x$i=\$(ls \$y | grep z$i); echo \$x$i"; done >a.txt
shellcheck -s bash a.txt | md5sum; shellcheck --version | md5sum; mkfifo any; sleep 1 >any & timeout 0.3 shellcheck -s bash - <any; echo $?; wait
SCRIPT

program rust rg <<'SCRIPT'
mkdir any; for ((i = 0; i < 200; i++)); do seq $i $((i + 3000)) >any/$i; done; rg -j 4 -c '77$' any | sort | md5sum; rg -j 4 --mmap 'x(' any; echo $?; rg -j 8 --stats -q 9 any | grep -E '^[0-9]+ (matches|files)'; rg --pcre2 '1(?=2)' any/3 2>&1 | md5sum
SCRIPT

program qemu qemu-x86_64 gcc <<'SCRIPT'
mkdir any && cd any
cat >a.c <<'C'
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
static volatile int n; static void on(int s) { (void)s; n++; }
static void *work(void *p) { long s = 0; for (long i = 0; i < 3000000; i++) s += i % 7; return (void *)(s + (long)p); }
int main(void) { pthread_t t[3]; void *r; for (long i = 0; i < 3; i++) pthread_create(t + i, 0, work, (void *)i); for (int i = 0; i < 3; i++) { pthread_join(t[i], &r); printf("%ld\n", (long)r); }
	signal(SIGPROF, on); raise(SIGPROF); printf("%d\n", n); struct itimerval v = {{0, 10000}, {0, 10000}}; signal(SIGALRM, on); setitimer(ITIMER_REAL, &v, 0); while (n < 5) ; fflush(stdout);
	int st; if (fork() == 0) _exit(3); wait(&st); printf("%d\n", st >> 8); fflush(stdout); *(volatile int *)8 = 1; }
C
gcc -static a.c -o a -pthread 2>/dev/null; ulimit -c 0; qemu-x86_64 ./a 2>/dev/null; echo $?
gcc a.c -o b -pthread; env -u LD_PRELOAD true; qemu-x86_64 -U LD_PRELOAD ./b 2>/dev/null; echo $?
SCRIPT

program preloads fakeroot faketime eatmydata stdbuf python3 <<'SCRIPT'
mkdir any; cd any
fakeroot sh -c 'touch f; chown 12:34 f; stat -c "%u %g" f; tar -cf t f; id -u; exit 3'; echo $?; tar -tvf t | awk '{ print $2 }'
faketime '2008-12-24 08:15:42' date -u +%F; faketime -f '+1d x10' python3 -c 'import time; t = time.time(); time.sleep(0.5); print(1 < time.time() - t < 60)'; echo $?
eatmydata python3 -c 'import os; f = open("g", "w"); f.write("x"); os.fsync(f.fileno()); print("synced")'; echo $?; stdbuf -oL python3 -c 'print(sum(range(10**6)))'; stdbuf -o0 seq 3 | cat; echo $?
SCRIPT

witness_all
((checks_made)) || skip_test "none of these programs is here"
finish
