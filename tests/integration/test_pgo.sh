#!/bin/bash
# SPDX-License-Identifier: MIT
# cprof pgo: a program that is profiled, rebuilt with its profile and run on other data,
# and what must not work.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

for tool in clang++ llvm-profdata; do
	command -v $tool >/dev/null || skip_test "$tool is not installed"
done

# A copy: it will change.  Its path is part of the names of what is local to it.
mkdir -p "$TMP/tree/src"
source_file=$TMP/tree/src/virtual_dispatch.cc
cp "$HERE/victims/virtual_dispatch.cc" "$source_file"
original=$(<"$source_file")
flags=(-O2 -g -fdebug-info-for-profiling -funique-internal-linkage-names)

# build NAME [FLAG...]: what the compiler did with indirect calls is in NAME.remarks.
build()
{
	clang++ "${flags[@]}" "${@:2}" -Rpass=pgo-icall-prom -o "$TMP/$1" "$source_file" 2>"$TMP/$1.remarks"
}

# pgo WORD...: status, with the outputs in $TMP/stdout and $TMP/stderr.
pgo() { status_of "$CPROF" pgo "$@"; }

expect "a build for profiling" build before
# Two runs at different load addresses.
for seed in 1 1; do
	expect "a run under cprof" profiled CPROF_CPU_HZ=250 CPROF_HEAP_RATE=0 "$TMP/before" $seed 2000000
done
mapfile -t profiles < <(profiles_of before cpu)
expect_equal "two profiles" 2 "${#profiles[@]}"
samples=$(($(query "${profiles[0]}" total samples) + $(query "${profiles[1]}" total samples)))

what="conversion"
enough=(--min-samples 50)
expect_equal "$what: status" 0 "$(pgo --binary "$TMP/before" "${enough[@]}" -o "$TMP/profile" "${profiles[@]}")"
expect_equal "$what: all samples are accounted for" "$samples" "$(sed -n 's/^  samples: \([0-9]*\) read from 2 profiles.*/\1/p' "$TMP/stdout")"
expect_equal "$what: nothing to complain of" "" "$(<"$TMP/stderr")"
expect "$what: the most frequent target is there" grep -qE '^ [0-9]+[.0-9]*: [0-9]+ .*add5apply[^ :]*:[0-9]+' "$TMP/profile"
expect "$what: LLVM reads it" llvm-profdata merge --sample --text -o "$TMP/again" "$TMP/profile"
expect_equal "$what: and takes it for what it is" "$(sort "$TMP/profile" | tr ' ' '\n' | sort)" "$(sort "$TMP/again" | tr ' ' '\n' | sort)"

what="rebuilt"
expect "$what: builds" build after -fprofile-sample-use="$TMP/profile"
expect "$what: the call is promoted" grep -q 'Promote indirect call to .*add5apply' "$TMP/after.remarks"
expect_equal "$what: the same output on other data" "$("$TMP/before" 7 20000)" "$("$TMP/after" 7 20000)"

# What was promoted and inlined is no longer called indirectly, and still whom the call went to.
what="profiled again"
expect "$what: a run under cprof" profiled CPROF_CPU_HZ=250 CPROF_HEAP_RATE=0 "$TMP/after" 1 4000000
expect_equal "$what: status" 0 "$(pgo --binary "$TMP/after" "${enough[@]}" -o "$TMP/again.profile" "$(profiles_of after cpu)")"
expect "$what: the most frequent target is there" grep -qE '^ [0-9]+[.0-9]*: [0-9]+ .*add5apply[^ :]*:[0-9]+' "$TMP/again.profile"
expect "$what: builds" build twice -fprofile-sample-use="$TMP/again.profile"
expect "$what: the call is promoted" grep -q 'Promote indirect call to .*add5apply' "$TMP/twice.remarks"

what="40 lines above"
printf '%s\n' "$(yes // | head -40)" "$original" >"$source_file"
expect_equal "$what: status" 0 "$(pgo --check "$TMP/profile" "$TMP/tree" -o "$TMP/moved")"
expect "$what: all moved" grep -qE ': 0 functions as they were, [1-9][0-9]* moved, 0 changed' "$TMP/stdout"
expect "$what: the profile stays" cmp "$TMP/profile" "$TMP/moved"
expect "$what: builds" build moved.bin -fprofile-sample-use="$TMP/moved"
expect "$what: the call is promoted" grep -q 'Promote indirect call to .*add5apply' "$TMP/moved.bin.remarks"

what="a changed function"
sed 's/^\tfor (const auto &op : program)$/\n\n\n&/' <<<"$original" >"$source_file"
expect_equal "$what: status" 0 "$(pgo --check "$TMP/profile" "$TMP/tree" -o "$TMP/changed")"
expect "$what: it alone is left out" grep -q ' 1 changed and left out' "$TMP/stdout"
expect_equal "$what: it is gone" 0 "$(grep -c '^[^ ]*interpret[^ ]*:' "$TMP/changed" || true)"
expect "$what: others are not" grep -q '^[^ ]*add5apply[^ ]*:' "$TMP/changed"
expect "$what: what is kept beside it" cmp "$TMP/profile.sources" "$TMP/changed.sources"
expect_equal "$what: converted again" 0 "$(pgo --binary "$TMP/before" "${enough[@]}" -o "$TMP/profile" "${profiles[@]}")"
expect "$what: converted again, it alone is left out" grep -q ' 1 changed and left out' "$TMP/stdout"
expect "$what: converted again, the same profile" cmp "$TMP/profile" "$TMP/changed"
echo "$original" >"$source_file"
expect_equal "$what: and back" 0 "$(pgo --binary "$TMP/before" "${enough[@]}" -o "$TMP/profile" "${profiles[@]}")"
expect_equal "a changed function, changed back" 0 "$(pgo --check "$TMP/profile" "$TMP/tree")"
expect "a changed function, changed back: as it was" grep -qE ' 0 moved, 0 changed' "$TMP/stdout"

what="without calls"
expect_equal "$what: status" 0 "$(pgo --binary "$TMP/before" "${enough[@]}" --no-calls -o "$TMP/no_calls" "${profiles[@]}")"
expect_equal "$what: no targets" 0 "$(grep -c 'apply.*:.*apply' "$TMP/no_calls" || true)"
expect "$what: builds" build no_calls.bin -fprofile-sample-use="$TMP/no_calls"
expect_equal "$what: nothing is promoted" 0 "$(grep -c Promote "$TMP/no_calls.bin.remarks" || true)"

# one_line WHAT STATUS PATTERN WORD...: fails, and says so in one line; nothing is written.
one_line()
{
	local what=$1 status=$2 pattern=$3
	shift 3
	rm -f "$TMP/none" "$TMP/none.sources"
	expect_equal "$what: status" "$status" "$(pgo "$@")"
	expect "$what: says why" grep -qE "^cprof pgo: .*$pattern" "$TMP/stderr"
	expect_equal "$what: nothing is written" "" "$(compgen -G "$TMP/none*" || true)"
}
take=("${enough[@]}" -o "$TMP/none" "${profiles[@]}")
mkdir -p "$TMP/other" "$TMP/bare"
clang++ "${flags[@]}" -Wl,--build-id=0x1234567812345678 -o "$TMP/other/before" "$source_file"
clang++ "${flags[@]}" -Wl,--build-id=none -o "$TMP/bare/before" "$source_file"
one_line "another build id" 1 "build id [0-9a-f]{40} .*1234567812345678" --binary "$TMP/other/before" "${take[@]}"
one_line "no build id" 1 "without a build id" --binary "$TMP/bare/before" "${take[@]}"
expect_equal "another build, allowed" 0 "$(pgo --binary "$TMP/other/before" --allow-build-id-mismatch "${take[@]}")"
expect "another build, allowed: the same profile" cmp "$TMP/profile" "$TMP/none"
mkdir -p "$TMP/split"
(cd "$TMP/split" && clang++ "${flags[@]}" -gsplit-dwarf -o before "$source_file")
expect_equal "split debug information" 0 "$(pgo --binary "$TMP/split/before" --allow-build-id-mismatch "${take[@]}")"
expect "split debug information: the same profile" cmp "$TMP/profile" "$TMP/none"
mkdir -p "$TMP/plain"
clang++ -O2 -g -o "$TMP/plain/before" "$source_file"
expect_equal "no discriminators" 0 "$(pgo --binary "$TMP/plain/before" --allow-build-id-mismatch "${take[@]}")"
expect "no discriminators: a warning" grep -q '^cprof pgo: warning: there are no discriminators' "$TMP/stderr"
cp "$TMP/before" "$TMP/stripped"
strip "$TMP/stripped"
one_line "no debug information" 1 "no debug information" --binary "$TMP/stripped" "${take[@]}"
one_line "too few samples" 1 "too few.*1000000" --binary "$TMP/before" --min-samples 1000000 -o "$TMP/none" "${profiles[@]}"
one_line "another program" 1 "too few" --binary "$PPROFQ" "${take[@]}"
one_line "no profile" 1 "no pprof file" --binary "$TMP/before" "${take[@]}" "$source_file"
one_line "no such file" 1 "No such file" --binary "$TMP/before" "${take[@]}" "$TMP/nowhere"
one_line "no ELF file" 1 "no ELF file" --binary "$source_file" "${take[@]}"
one_line "unknown option" 2 "unknown option --fast" --binary "$TMP/before" "${take[@]}" --fast
one_line "unknown format" 2 "no such format: elf; accepted: llvm-text" --binary "$TMP/before" "${take[@]}" --format elf
one_line "no binary" 2 "no binary" "${take[@]}"
one_line "no output" 2 "no output" --binary "$TMP/before" "${profiles[@]}"
one_line "no input" 2 "no profile" --binary "$TMP/before" -o "$TMP/none"
one_line "output into nowhere" 1 "nowhere" --binary "$TMP/before" "${enough[@]}" -o "$TMP/nowhere/x" "${profiles[@]}"

rm "$TMP/changed.sources"
one_line "no sources beside the profile" 1 "changed.sources" --check "$TMP/changed" "$TMP/tree" -o "$TMP/none"
one_line "a tree without the sources" 1 "none of the profile's sources" --check "$TMP/profile" "$OUT" -o "$TMP/none"
one_line "check without a tree" 2 "accepted: --check PROFILE SOURCE-TREE" --check "$TMP/profile" -o "$TMP/none"
one_line "a URL where nobody is" 1 "could not be fetched" --binary "$TMP/before" "${take[@]}" "unix:$TMP/nobody"

what="by URL"
profiled CPROF_CPU_HZ=250 CPROF_HEAP_RATE=0 CPROF_HTTP="unix:$TMP/socket" "$TMP/before" 1 100000000 >"$TMP/stdout" &
expect "$what: it is served" wait_until 20 test -S "$TMP/socket"
expect_equal "$what: status" 0 "$(pgo --binary "$TMP/before" --min-samples 5 -o "$TMP/by_url" "unix:$TMP/socket:/debug/pprof/profile?seconds=2")"
expect "$what: a function that runs is there" grep -q '^[^ ]*interpret[^ ]*:' "$TMP/by_url"
kill -KILL "$(pgrep -f "^$TMP/before 1 100000000")"
wait || true

what="for gcc"
expect_equal "$what: status" 0 "$(pgo --binary "$TMP/before" "${enough[@]}" --format gcov -o "$TMP/gcov" "${profiles[@]}")"
g++ -O2 -g -fauto-profile="$TMP/gcov" -o "$TMP/by_gcc" "$source_file" 2>"$TMP/by_gcc.log" || true
expect_equal "$what: gcc reads it" "" "$(grep -v '^$' "$TMP/by_gcc.log" || true)"
expect_equal "$what: the same output" "$("$TMP/before" 7 20000)" "$("$TMP/by_gcc" 7 20000)"

what="for autofdo"
expect_equal "$what: status" 0 "$(pgo --binary "$TMP/before" "${enough[@]}" --format autofdo-text -o "$TMP/autofdo" "${profiles[@]}")"
expect_equal "$what: each list is as long as it says" "$(wc -l <"$TMP/autofdo")" \
	"$(awk 'left == 0 { left = $1; sum++; next } { left--; sum++ } END { print sum }' "$TMP/autofdo")"
expect_equal "$what: all samples of the program" "$(sed -n 's/^.*functions from \([0-9]*\) samples$/\1/p' "$TMP/stdout")" \
	"$(awk -F: '/^[0-9a-f]+:/ { sum += $2 } END { print sum }' "$TMP/autofdo")"

what="binary form"
expect_equal "$what: status" 0 "$(pgo --binary "$TMP/before" --format llvm-ext "${take[@]}")"
llvm-profdata merge --sample --text -o "$TMP/from_binary" "$TMP/none"
expect "$what: says the same" cmp "$TMP/again" "$TMP/from_binary"
finish
