#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Runs each fuzzer with libFuzzer, from the seeds and from what earlier runs found; a finding stays
# in BUILD/fuzz/findings and is said, with the status 1.
#
#     BUILD=dir fuzz.sh SECONDS [NAME...]
set -uo pipefail
: "${BUILD:?the absolute build directory}"
cd "$(dirname "$0")" || exit 2
duration=${1:?seconds for each}
shift
work=$BUILD/fuzz
mkdir -p "$work/findings"
bash ./seeds.sh "$work/seeds" || exit 2

# elfutils reads what it was not asked for, or divides by 0, in some files: what the collector survives is looked at.
export ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1:handle_segv=1 UBSAN_OPTIONS=print_stacktrace=1
failed=0
sums=$work/fuzz.log
: >"$sums"
for source in fuzz_*.c; do
	name=${source#fuzz_}
	name=${name%.c}
	if (($#)) && [[ " $* " != *" $name "* && $name != *"$1"* ]]; then continue; fi
	mkdir -p "$work/corpus/$name"
	log=$work/$name.log
	start=$SECONDS
	if (cd "$work/findings" && "$BUILD/san-fuzz/tests/fuzz/fuzz_$name" -max_total_time="$duration" -timeout=20 -rss_limit_mb=1500 \
		-max_len=32768 -close_fd_mask=2 -artifact_prefix="$work/findings/$name-" "$work/corpus/$name" "$work/seeds/$name") >"$log" 2>&1; then
		# What is fuzzed may have written to the log meanwhile, without a newline.
		runs=$(sed -nE 's/^.*Done ([0-9]+) runs in.*$/\1/p; s/^#([0-9]+)\tDONE.*$/\1/p' "$log" | tail -n 1)
		printf 'ok    %-24s %s runs in %d seconds\n' "$name" "${runs:-0}" $((SECONDS - start)) | tee -a "$sums"
	else
		failed=1
		printf 'FAIL  %-24s %s\n' "$name" "$(grep -aE 'ERROR|runtime error|SUMMARY' "$log" | head -n 1)" | tee -a "$sums"
	fi
done
exit $failed
