#!/bin/bash
# SPDX-License-Identifier: MIT
# Names, files, lines and inlined frames, from whatever a binary still has to tell.
set -euo pipefail
source "$(dirname "$0")/lib.sh"
steady_cpu

source_file=$HERE/victims/inlined.cc
line_of() { grep -n "$1" "$source_file" | cut -d: -f1; }

# run COMMAND... MS: at 250 Hz and rate 1; longer where others may take the CPU.
run()
{
	local ms=${!#}
	((${#STEADY[@]})) || ms=$((5 * ms))
	profiled CPROF_CPU_HZ=250 CPROF_HEAP_RATE=1 "${@:1:$#-1}" "$ms"
}

# has_time NAME PROFILE: at least five samples.
has_time() { expect_range "$what: samples in $1" 5 "$(query "$2" has "$1" samples)" 100000; }

# ---- optimised C++ with inlined frames ----
what=inlined
expect "$what: runs" run "$VICTIMS/inlined" 300
expect_profile inlined cpu
cpu=$(profile inlined cpu) heap=$(profile inlined heap)
for name in outer_work middle_sum inner_mix only_static main; do has_time $name "$cpu"; done
expect "$what: stacks nest the inlined frames" grep -q 'inner_mix[^;]*;middle_sum[^;]*;outer_work[^;]*;main' <("$PPROFQ" "$cpu" stacks samples)
pprof -list '^outer_work|inner_mix|middle_sum' "$cpu" >"$TMP/list" 2>&1 || true
for mark in inner middle; do
	expect "$what: -list shows time on line-$mark" grep -Eq "^ +[0-9.]+m?s .*line-$mark" "$TMP/list"
done
expect "$what: -list names the source" grep -q "inlined.cc" "$TMP/list"
pprof -traces "$cpu" >"$TMP/traces" 2>&1 || true
expect "$what: -traces shows inlined frames" grep -q 'inner_mix (inline)' "$TMP/traces"
expect "$what: -lines gives line numbers" grep -q "inlined.cc:$(line_of line-inner)" <(pprof -top -lines "$cpu" 2>/dev/null)
expect "$what: names are demangled" grep -qE '^space::box<long>::turn(\(long\))?$' <("$PPROFQ" "$cpu" frames)
expect "$what: no name is mangled" bash -c "! '$PPROFQ' '$cpu' frames | grep '^_[ZR]'"
expect "$what: a lambda has a name" grep -q 'lambda\|operator()' <("$PPROFQ" "$cpu" frames)
expect_equal "$what: malloc in main" "1 4321" "$(query "$heap" leaf main alloc_objects) $(query "$heap" leaf main alloc_space)"
build_id=$(eu-readelf -n "$VICTIMS/inlined" | sed -n 's/.*Build ID: //p')
expect "$what: build id of the executable" grep -q "^1 .*$build_id.*inlined$" <("$PPROFQ" "$cpu" mappings)
expect "$what: libc's build id" grep -Eq ' [0-9a-f]{40} .*libc\.so\.6$' <("$PPROFQ" "$heap" mappings)

# ---- stripped, with and without its debug file ----
mkdir -p "$TMP/bin"
strip_copy()
{
	cp "$VICTIMS/inlined" "$TMP/bin/$1"
	objcopy --only-keep-debug "$TMP/bin/$1" "$TMP/bin/$1.debug"
	strip "$TMP/bin/$1"
}
what="stripped, debuglink"
fresh_out
strip_copy linked
(cd "$TMP/bin" && objcopy --add-gnu-debuglink=linked.debug linked)
expect "$what: runs" run "$TMP/bin/linked" 200
cpu=$(profile linked cpu)
for name in outer_work middle_sum inner_mix only_static main; do has_time $name "$cpu"; done

what="stripped, debug file by build id"
fresh_out
strip_copy by_id
if [[ $(id -u) == 0 ]]; then
	debug_dir=/usr/lib/debug/.build-id/${build_id:0:2}
	debug_file=$debug_dir/${build_id:2}.debug
	mkdir -p "$debug_dir"
	mv "$TMP/bin/by_id.debug" "$debug_file"
	trap 'rm -f "$debug_file"; rmdir "$debug_dir" 2>/dev/null || true' EXIT
	expect "$what: runs" run "$TMP/bin/by_id" 200
	cpu=$(profile by_id cpu)
	for name in outer_work inner_mix only_static; do has_time $name "$cpu"; done
	rm -f "$debug_file"
else
	skip_check "$what: needs /usr/lib/debug"
fi

what="stripped, nothing else"
fresh_out
strip_copy bare
rm "$TMP/bin/bare.debug"
expect "$what: runs" run "$TMP/bin/bare" 200
expect_profile bare cpu "$what"
cpu=$(profile bare cpu)
expect_range "$what: time in [bare]" 5 "$(query "$cpu" has '[bare]' samples)" 100000
expect_equal "$what: no invented names" "" "$("$PPROFQ" "$cpu" frames | grep -E 'outer_work|inner_mix|only_static' || true)"
expect "$what: go tool pprof shows [bare]" grep -q '\[bare\]' <(pprof -top "$cpu" 2>/dev/null)
expect "$what: libc's exported names are there" grep -q '^__libc_start_main\|^clock_gettime' <("$PPROFQ" "$cpu" frames)

what="exported names only"
fresh_out
g++ -O2 -pthread -rdynamic "$source_file" -o "$TMP/bin/dynamic"
strip "$TMP/bin/dynamic"
expect "$what: runs" run "$TMP/bin/dynamic" 200
cpu=$(profile dynamic cpu)
has_time outer_work "$cpu"
expect_range "$what: the static one is [dynamic]" 3 "$(query "$cpu" has '[dynamic]' samples)" 100000

what="symbol table, no debug information"
fresh_out
g++ -O2 -pthread "$source_file" -o "$TMP/bin/symtab"
expect "$what: runs" run "$TMP/bin/symtab" 200
cpu=$(profile symtab cpu)
has_time outer_work "$cpu"
expect "$what: the static function has its name" grep -q 'only_static' <("$PPROFQ" "$cpu" frames)

# ---- PIE and not ----
what="not position independent"
fresh_out
g++ -O2 -g -pthread -no-pie "$source_file" -o "$TMP/bin/fixed"
expect "$what: runs" run "$TMP/bin/fixed" 200
expect_profile fixed cpu "$what"
cpu=$(profile fixed cpu)
for name in outer_work inner_mix only_static; do has_time $name "$cpu"; done

what="without frame pointers or debug information, deep"
fresh_out
gcc -O2 -D_GNU_SOURCE -fomit-frame-pointer -pthread "$HERE/victims/cpu_shares.c" -o "$TMP/bin/nofp"
expect "$what: runs" run "$TMP/bin/nofp" deep 300
cpu=$(profile nofp cpu)
samples=$(query "$cpu" total samples)
expect_range "$what: stacks reach main" $((samples - 2)) "$(query "$cpu" has main samples)" "$samples"

what="split debug information in older and compressed forms"
for flags in "-gdwarf-4" "-gdwarf-5 -gz"; do
	fresh_out
	# shellcheck disable=SC2086
	g++ -O2 $flags -pthread "$source_file" -o "$TMP/bin/form"
	expect "$flags: runs" run "$TMP/bin/form" 200
	expect_range "$flags: inlined frames" 5 "$(query "$(profile form cpu)" has inner_mix samples)" 100000
done

# ---- Rust ----
what=rust
if [[ -x $VICTIMS/rust_work ]]; then
	fresh_out
	expect_equal "$what: exit status" 7 "$(status_of run "$VICTIMS/rust_work" 200)"
	expect_equal "$what: output" "blocks 1000 caught true" "$(<"$TMP/stdout")"
	expect_profile rust_work cpu
	cpu=$(profile rust_work cpu) heap=$(profile rust_work heap)
	frames=$("$PPROFQ" "$cpu" frames)
	expect "$what: v0 names are demangled" grep -q 'rust_work::kernels::generic_mix::<u32>\|rust_work::kernels::generic_mix<u32>' <<<"$frames"
	expect "$what: a trait's method" grep -q '<rust_work::Square as rust_work::Shape>::area_of_many' <<<"$frames"
	expect_equal "$what: no name is mangled" "" "$(grep '^_[RZ]' <<<"$frames" || true)"
	# 500 Vecs of 100 bytes, 500 of 101, and one of 1000 Vecs (24 bytes each).
	expect_equal "$what: allocations exact" "1001 124500" \
		"$(query "$heap" has rust_work::rust_allocates alloc_objects) $(query "$heap" has rust_work::rust_allocates alloc_space)"
else
	skip_check "no Rust compiler"
fi

# ---- merging and comparing two runs at different addresses ----
what=merge
fresh_out
run "$VICTIMS/inlined" 200 >/dev/null
run "$VICTIMS/inlined" 200 >/dev/null
mapfile -t two < <(profiles_of inlined cpu)
expect_equal "$what: two profiles" 2 "${#two[@]}"
start() { "$PPROFQ" "$1" mappings | awk '$1 == 1 { print $2 }'; }
expect "$what: loaded at different addresses" test "$(start "${two[0]}")" != "$(start "${two[1]}")"
pprof -proto -output "$TMP/merged.pb.gz" "${two[@]}" >/dev/null 2>&1 || true
expect_equal "$what: sums add up" $(($(query "${two[0]}" has outer_work samples) + $(query "${two[1]}" has outer_work samples))) \
	"$(query "$TMP/merged.pb.gz" has outer_work samples)"
expect_equal "$what: same place in the binary is one location" "$(pprof -raw "$TMP/merged.pb.gz" 2>/dev/null | awk '/^Mappings/ { on = 1 } on' | grep -c '/inlined ' || true)" 1
expect "$what: -diff_base works" pprof -top -diff_base "${two[0]}" "${two[1]}"
pprof -top -unit ms -diff_base "${two[0]}" "${two[0]}" >"$TMP/diff" 2>&1 || true
expect_equal "$what: a profile less itself is nothing" "" "$(awk '/flat%/ { on = 1; next } on && $1 != "0"' "$TMP/diff")"
finish
