// SPDX-License-Identifier: MIT
// cflags: -C symbol-mangling-version=v0
//
// CPU and heap in Rust: a generic function in a module, a trait method, threads, and
// a Vec of known size.  Prints what it computed.
//
// Context: test program.

use std::hint::black_box;
use std::time::{Duration, Instant};

mod kernels {
    use std::hint::black_box;

    #[inline(never)]
    pub fn generic_mix<T: Into<u64> + Copy>(seed: T, rounds: u64) -> u64 {
        let mut x: u64 = seed.into();
        for i in 0..rounds {
            x = black_box(x ^ (x >> 29)).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(i);
        }
        x
    }
}

trait Shape {
    fn area_of_many(&self, rounds: u64) -> u64;
}

struct Square(u64);

impl Shape for Square {
    #[inline(never)]
    fn area_of_many(&self, rounds: u64) -> u64 {
        let mut sum = 0u64;
        for i in 0..rounds {
            sum = black_box(sum).wrapping_add(self.0.wrapping_mul(i ^ sum));
        }
        sum
    }
}

#[inline(never)]
fn rust_allocates() -> Vec<Vec<u8>> {
    (0..1000).map(|i| Vec::with_capacity(100 + i % 2)).collect()
}

fn work(end: Instant) -> u64 {
    let mut all = 0u64;
    while Instant::now() < end {
        all ^= kernels::generic_mix(7u32, 200_000);
        all ^= Square(3).area_of_many(200_000);
    }
    all
}

fn main() {
    let end = Instant::now() + Duration::from_millis(400);
    let threads: Vec<_> = (0..2).map(|_| std::thread::spawn(move || work(end))).collect();
    for t in threads {
        black_box(t.join().unwrap());
    }
    let blocks = black_box(rust_allocates());
    let caught = std::panic::catch_unwind(|| {
        if black_box(true) {
            std::panic::resume_unwind(Box::new(5));
        }
    });
    println!("blocks {} caught {}", blocks.len(), caught.is_err());
    std::process::exit(7);
}
