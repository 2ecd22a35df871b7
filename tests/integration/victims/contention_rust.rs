// SPDX-License-Identifier: MIT
// cflags: -C symbol-mangling-version=v0
//
// Waits of Rust's standard library, which blocks by syscall(SYS_futex) and pthread_join.
// Prints what wait_tally.h says: "wait SITE LEAF COUNT NANOSECONDS".
//
// Context: test program.

use std::fs;
use std::sync::mpsc;
use std::sync::{Condvar, Mutex, RwLock};
use std::thread;
use std::time::{Duration, Instant};

const HELD: Duration = Duration::from_millis(80);

static MUTEX: Mutex<u32> = Mutex::new(0);
static LOCK: RwLock<u32> = RwLock::new(0);
static READY: Mutex<bool> = Mutex::new(false);
static CONDITION: Condvar = Condvar::new();

fn timed<T>(site: &str, leaf: &str, wait: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = wait();
    println!("wait {} {} 1 {}", site, leaf, start.elapsed().as_nanos());
    result
}

#[inline(never)]
fn rust_mutex() {
    timed("rust_mutex", "syscall", || *MUTEX.lock().unwrap() += 1);
}

#[inline(never)]
fn rust_rwlock() {
    timed("rust_rwlock", "syscall", || *LOCK.write().unwrap() += 1);
}

#[inline(never)]
fn rust_condvar() {
    let mut ready = READY.lock().unwrap();
    if !*ready {
        ready = timed("rust_condvar", "syscall", || CONDITION.wait(ready).unwrap());
    }
    assert!(*ready);
}

#[inline(never)]
fn rust_condvar_timeout() {
    let ready = READY.lock().unwrap();
    let (_ready, result) = timed("rust_condvar_timeout", "syscall", || CONDITION.wait_timeout(ready, HELD).unwrap());
    assert!(result.timed_out());
}

#[inline(never)]
fn rust_channel(receiver: mpsc::Receiver<u32>) {
    assert_eq!(timed("rust_channel", "syscall", || receiver.recv().unwrap()), 5);
}

#[inline(never)]
fn rust_park() {
    timed("rust_park", "syscall", || thread::park_timeout(HELD));
}

#[inline(never)]
fn rust_join(sleeper: thread::JoinHandle<u32>) {
    assert_eq!(timed("rust_join", "pthread_join", || sleeper.join().unwrap()), 9);
}

/// Until all other threads sleep, then some more.
fn while_others_wait() {
    for _ in 0..2000 {
        let me = fs::read_link("/proc/thread-self").unwrap();
        let me = me.file_name().unwrap().to_owned();
        let awake = fs::read_dir("/proc/self/task").unwrap().flatten().any(|task| {
            task.file_name() != me
                && !fs::read_to_string(task.path().join("syscall")).map_or(true, |line| line.starts_with("202 ") || line.starts_with("98 "))
        });
        if !awake {
            break;
        }
        thread::sleep(Duration::from_millis(1));
    }
    thread::sleep(HELD);
}

fn main() {
    let held = MUTEX.lock().unwrap();
    let waiting = thread::spawn(rust_mutex);
    while_others_wait();
    drop(held);
    waiting.join().unwrap();

    let held = LOCK.read().unwrap();
    let waiting = thread::spawn(rust_rwlock);
    while_others_wait();
    drop(held);
    waiting.join().unwrap();

    let waiting = thread::spawn(rust_condvar);
    while_others_wait();
    *READY.lock().unwrap() = true;
    CONDITION.notify_one();
    waiting.join().unwrap();
    rust_condvar_timeout();

    let (sender, receiver) = mpsc::channel();
    let waiting = thread::spawn(|| rust_channel(receiver));
    while_others_wait();
    sender.send(5).unwrap();
    waiting.join().unwrap();
    rust_park();
    rust_join(thread::spawn(|| {
        thread::sleep(HELD);
        9
    }));
}
