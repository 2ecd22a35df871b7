#!/bin/bash
# SPDX-License-Identifier: MIT
# alone
# The CPU profile's shares are those that the program measured of itself.
#
# A share p of n samples is binomial at worst: sigma = sqrt(n p (1-p)), and 4 sigma are
# allowed.  The sum is compared with the program's own clock: each thread's sampling begins
# within one period and ends with its last tick, so a thread may miss or gain a period and a
# kernel tick (4 ms at 250 Hz, as configured here and there; 10 ms are allowed), and the
# profile may not be more than 2 % off besides.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

HZ=250
steady_cpu

# measured MODE MILLISECONDS THREADS: runs it and checks the three functions and the sum.
measured()
{
	mode=$1
	local threads=$3
	fresh_out
	expect_equal "$mode: exit status" 0 "$(status_of profiled CPROF_CPU_HZ=$HZ "$VICTIMS/cpu_shares" "$mode" "$2")"
	expect_equal "$mode: nothing on stderr" "" "$(<"$TMP/stderr")"
	expect_profile cpu_shares cpu "$mode"
	cpu=$(profile cpu_shares cpu)
	samples=$(query "$cpu" total samples)
	clock=$(truth "$TMP/stdout" clock)
	late=$(late_ms "$TMP/stdout")
	late_samples=$((late * HZ / 1000))
	expect_range "$mode: samples enough to judge" $(($2 * HZ / 1000 / 2)) "${samples:-0}" $(($2 * HZ / 1000 * 2))
	for name in f1 f2 f3; do
		share $name
	done
	expect_equal "$mode: no frame of cprof" "" "$(query "$cpu" frames | grep -i cprof || true)"
	((threads)) || return 0
	expect_range "$mode: sampled time in ms, of $((clock / 1000000))" \
		$((clock / 1000000 * 98 / 100 - 14 * threads - late)) $(($(query "$cpu" total cpu) / 1000000)) \
		$((clock / 1000000 * 102 / 100 + 14 * threads + late))
}

# share NAME: its inclusive samples against its part of the clock.
share()
{
	expect_share "$mode: $1" "$(query "$cpu" has "$1" samples)" "$samples" \
		"$(awk -v f="$(truth "$TMP/stdout" "$1")" -v c="$clock" 'BEGIN { print f / c }')" $late_samples
}

# all_below NAME: every stack reaches this function; a sample in the loader or at exit does not.
all_below()
{
	expect_range "$mode: stacks that reach $1, of $samples" $((samples - samples / 200 - 2)) \
		"$(query "$cpu" has "$1" samples)" "$samples"
}

measured single 2000 1
all_below main
all_below main_work
measured four 2000 5
for thread in thread1 thread2 thread3 thread4; do
	share $thread
done
all_below thread_main
measured short 2000 0
# 40 threads that end between two ticks: each may miss up to a tick, none gains more than chance allows:
# the first expiry is uniform in a period, so n threads add sqrt(n)/2 samples of noise.
expect_range "short: sampled time in ms, of $((clock / 1000000))" $((clock / 1000000 * 90 / 100 - late)) \
	$(($(query "$cpu" total cpu) / 1000000)) $((clock / 1000000 * 105 / 100))
share thread1
all_below thread_main
measured small-stack 1500 2
all_below thread1
measured blocked 1500 2
all_below thread1
measured deep 1500 1
all_below main
all_below deep_even
for mode in handler handler-masked handler-altstack handler-smallstack; do
	measured $mode 1500 1
	# A handler on an alternate stack is not sampled, since a second frame might not fit; its
	# time is charged to what it interrupted, so it is in the sums, but has no name.
	[[ $mode == handler-altstack || $mode == handler-smallstack ]] || share handler_work
	# Through the signal frame to the interrupted function and on to main.
	all_below main_work
done
# What the kernel asks for is more than it takes where the processor has state that nobody uses (AMX), and just
# that elsewhere (AVX-512 without it): then there is no room to unwind on it, and this is said.
mode=handler-tinystack
fresh_out
expect_equal "$mode: exit status" 0 "$(status_of profiled CPROF_CPU_HZ=$HZ "$VICTIMS/cpu_shares" $mode 1500)"
cpu=$(profile cpu_shares cpu)
samples=$(query "$cpu" total samples)
whole=$(query "$cpu" has main_work samples)
nowhere=$(query "$cpu" has '[no stack]' samples)
expect_range "$mode: samples enough to judge" $((1500 * HZ / 2000)) "${samples:-0}" $((1500 * HZ / 500))
expect_range "$mode: whole stacks ($whole), and none ($nowhere), of $samples" $((samples - samples / 200 - 2)) $((whole + nowhere)) "$samples"
said=$(query "$cpu" comments | sed -n 's/^cprof: \([0-9]*\) samples had no room for a stack.*/\1/p')
# Of several expiries that are late there is one signal, and one stack that is missing.
expect_range "$mode: those without are said to be" $((nowhere > 0)) "${said:-0}" "$nowhere"
measured fiber 1500 1
all_below fiber_main
measured too-deep 800 1
said=$(query "$cpu" comments | sed -n 's/^cprof: \([0-9]*\) samples have more than 128 frames.*/\1/p')
expect_range "too-deep: truncated stacks, all but those outside" $((samples - 3)) "$(query "$cpu" has '[truncated]' samples)" "$samples"
# Expiries that came late are one signal with the weight of several: fewer stacks than samples.
expect_range "too-deep: it is said" $((samples * 8 / 10)) "${said:-0}" "$samples"
finish
