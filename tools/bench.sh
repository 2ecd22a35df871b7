#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What cprof costs.  Every benchmark is run without cprof and with it, in turns, so that
# what the machine does meanwhile meets both; a figure is the median over the rounds, its
# spread the difference between the largest and the smallest; "added" is the difference
# of the medians.  Prints a Markdown table, and writes it and a JSON file to BUILD/bench.
#
#     BUILD=dir tools/bench.sh [BENCHMARK]      (default: all)
#
# ROUNDS=n sets the number of rounds.  The targets are those of the design; a missed one
# is reported, and is not a failure: machines differ.
set -euo pipefail
: "${BUILD:?the absolute build directory}"
wanted=${1:-}
rounds=${ROUNDS:-9}
bench=$BUILD/bench
scratch=$(mktemp -d)
trap 'settle; rm -rf "$scratch"' EXIT

# Until no collector of ours is left: it would take part in the next measurement.
settle()
{
	local polls=250
	while ((polls-- > 0)) && grep -qsaF "CPROF_OUT=$scratch/" /proc/[0-9]*/environ; do
		sleep 0.02
	done
}

raw=$scratch/raw
: >"$raw"
unset "${!CPROF_@}" LD_PRELOAD

preload=(LD_PRELOAD="$BUILD/libcprof.so" CPROF_OUT="$scratch/out")

benchmarks=(malloc_pair malloc_mixed malloc_rate1 handler_same handler_varied start_first start_later)
# The unwinder next to others, in a report of its own.
if [[ -z $wanted || unwind == *"$wanted"* ]]; then
	"$bench/bench_unwind" >"$scratch/unwind"
fi

title_of()
{
	case $1 in
	malloc_pair) echo "malloc(64) and free" ;;
	malloc_mixed) echo "malloc and free, mixed sizes, 1024 in use" ;;
	malloc_rate1) echo "malloc(64) and free, 10 frames" ;;
	handler_same) echo "a CPU sample, 30 frames, one stack" ;;
	handler_varied) echo "a CPU sample, 30 frames, varied stacks" ;;
	start_first) echo "start and end of true, first process of a tree" ;;
	start_later) echo "start and end of true, later process" ;;
	esac
}

unit_of()
{
	case $1 in
	start_*) echo us ;;
	*) echo ns ;;
	esac
}

variants_of()
{
	case $1 in
	malloc_pair | malloc_mixed) echo plain default rate1 ;;
	malloc_rate1) echo plain rate1 ;;
	handler_*) echo plain cprof ;;
	start_*) echo plain default ;;
	esac
}

# target_of BENCHMARK VARIANT: the most that may be added, or nothing.
target_of()
{
	case $1/$2 in
	malloc_pair/default) echo 1.5 ;;
	malloc_rate1/rate1) echo 200 ;;
	handler_*/cprof) echo 2000 ;;
	start_first/default) echo 5000 ;;
	start_later/default) echo 1000 ;;
	esac
}

# measure BENCHMARK VARIANT: prints one figure.
measure()
{
	local with=()
	case $2 in
	default) with=("${preload[@]}") ;;
	rate1) with=("${preload[@]}" CPROF_HEAP_RATE=1) ;;
	# One timer, so that its mark can be found, but hardly a signal of its own.
	cprof) with=("${preload[@]}" CPROF_CPU_HZ=1 CPROF_HEAP_RATE=0) ;;
	esac
	case $1 in
	malloc_pair) env "${with[@]}" "$bench/bench_malloc" pair ;;
	malloc_mixed) env "${with[@]}" "$bench/bench_malloc" mixed ;;
	malloc_rate1) env "${with[@]}" "$bench/bench_malloc" deep ;;
	handler_same) env "${with[@]}" "$bench/bench_handler" same ;;
	handler_varied) env "${with[@]}" "$bench/bench_handler" varied ;;
	start_first) "$bench/bench_start" "${with[@]}" ;;
	start_later) env "${with[@]}" "$bench/bench_start" ;;
	esac
}

for benchmark in "${benchmarks[@]}"; do
	[[ -z $wanted || $benchmark == *"$wanted"* ]] || continue
	read -ra variants <<<"$(variants_of "$benchmark")"
	for ((round = 0; round < rounds; round++)); do
		for variant in "${variants[@]}"; do
			echo "$benchmark $variant $(measure "$benchmark" "$variant")" >>"$raw"
			settle
		done
	done
done
[[ -s $raw || -s $scratch/unwind ]] || {
	echo "bench: no such benchmark: $wanted; there are: ${benchmarks[*]} unwind" >&2
	exit 2
}

# median MIN MAX of a benchmark's variant
statistics()
{
	awk -v b="$1" -v v="$2" '$1 == b && $2 == v { print $3 }' "$raw" | sort -g |
		awk '{ x[NR] = $1 } END { printf "%s %s %s\n", (x[int((NR + 1) / 2)] + x[int(NR / 2) + 1]) / 2, x[1], x[NR] }'
}

report=$bench/report.md
json=$bench/report.json
: >"$report"
if [[ -s $raw ]]; then
	echo "| benchmark | variant | median | spread | added | ratio | target |"
	echo "|---|---|---:|---:|---:|---:|---|"
fi >>"$report"
rows=()
for benchmark in "${benchmarks[@]}"; do
	[[ -z $wanted || $benchmark == *"$wanted"* ]] || continue
	unit=$(unit_of "$benchmark")
	read -r plain _ <<<"$(statistics "$benchmark" plain)"
	for variant in $(variants_of "$benchmark"); do
		read -r median low high <<<"$(statistics "$benchmark" "$variant")"
		target=$(target_of "$benchmark" "$variant")
		read -r added ratio spread verdict <<<"$(awk -v m="$median" -v p="$plain" -v l="$low" -v h="$high" \
			-v t="${target:-none}" 'BEGIN {
				a = m - p
				printf "%.2f %.3f %.2f %s\n", a, m / p, h - l, t == "none" ? "-" : a <= t ? "met" : "missed" }')"
		shown=${target:+$target $unit: $verdict}
		if [[ $variant == plain ]]; then
			printf '| %s | without | %.2f %s | %s | | | |\n' "$(title_of "$benchmark")" "$median" "$unit" "$spread"
		else
			printf '| | %s | %.2f %s | %s | %s | %s | %s |\n' "$variant" "$median" "$unit" "$spread" "$added" \
				"$ratio" "$shown"
		fi >>"$report"
		rows+=("$(printf '{"benchmark":"%s","variant":"%s","unit":"%s","median":%s,"min":%s,"max":%s,"added":%s,"ratio":%s,"target_added":%s}' \
			"$benchmark" "$variant" "$unit" "$median" "$low" "$high" "$added" "$ratio" "${target:-null}")")
	done
done
{
	printf '{"rounds":%d,"machine":"%s","kernel":"%s","results":[\n' "$rounds" \
		"$(sed -nE 's/^model name\s*: (.*)/\1/p' /proc/cpuinfo | head -n 1)" "$(uname -r)"
	(
		IFS=,
		printf '%s' "${rows[*]}" | sed 's/},{/},\n{/g'
	)
	printf '\n]}\n'
} >"$json"
if [[ -s $scratch/unwind ]]; then
	printf '\nUnwinding the same stack in one process:\n\n' >>"$report"
	sed 's/^/    /' "$scratch/unwind" >>"$report"
fi
cat "$report"
