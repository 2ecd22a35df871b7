#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Makes each fuzzer's first inputs from real data, a few kilobytes each, so that no binaries lie in
# the repository: programs that are compiled here, this process's own /proc, the variables that the
# README names, a browser's headers.
#
#     seeds.sh DIRECTORY     writes DIRECTORY/NAME/* for each fuzz_NAME
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$1"
cd "$1"
mkdir -p collector_elf collector_message collector_perf_map collector_segment collector_spool collector_text preload_cfi preload_environment work

# little BITS NUMBER...: as bytes.
little()
{
	local bits=$1 number i
	shift
	for number; do
		for ((i = 0; i < bits; i += 8)); do
			# shellcheck disable=SC2059 # the format is the byte
			printf "\\x$(printf %02x $((number >> i & 255)))"
		done
	done
}

# ---- objects: with DWARF in its forms, stripped, with a debug section compressed, a PLT, C++ names
cat >work/a.c <<'C'
#include <stdlib.h>
static inline int add(int a, int b) { return a + (b ? rand() : 1); }
__attribute__((noinline)) int twice(int a) { return add(a, a) + add(a, 2); }
int main(int argc, char **argv) { char *p = malloc((size_t)argc); free(p); return twice(argc) + (argv == 0); }
C
cat >work/b.cc <<'C'
namespace outer { template <class T> struct pair { T a, b; T sum() const; }; }
template <class T> T outer::pair<T>::sum() const { if (!a) throw 1; return a + b; }
template struct outer::pair<long>;
C
for version in 4 5; do
	gcc "-gdwarf-$version" -O1 -o "collector_elf/dwarf$version" work/a.c
done
gcc -g -gz=zlib -O2 -shared -fPIC -o collector_elf/compressed work/a.c
gcc -g -gsplit-dwarf -O1 -c -o work/split.o work/a.c && cp work/split.o collector_elf/split
g++ -g -O1 -shared -fPIC -nostdlib -o collector_elf/cxx work/b.cc
gcc -O2 -s -o collector_elf/stripped work/a.c
gcc -O2 -g -c -o collector_elf/relocatable work/a.c
if command -v xz >/dev/null; then
	objcopy --only-keep-debug collector_elf/dwarf4 work/mini && xz -kf work/mini
	strip -o collector_elf/mini collector_elf/dwarf4
	objcopy --add-section .gnu_debugdata=work/mini.xz collector_elf/mini
fi

# ---- .eh_frame_hdr with .eh_frame behind it, as they lie in memory
for object in collector_elf/dwarf4 collector_elf/cxx collector_elf/stripped; do
	sections=$(readelf -SW "$object" | sed 's/\[ */[/')
	read -r header < <(awk '$2 == ".eh_frame_hdr" { print $5 }' <<<"$sections")
	read -r frames bytes < <(awk '$2 == ".eh_frame" { print $5, $6 }' <<<"$sections")
	# Not head: who writes into it may be killed by SIGPIPE.
	dd if="$object" of="preload_cfi/$(basename "$object")" iflag=skip_bytes,count_bytes status=none \
		skip=$((16#$header)) count=$((16#$frames + 16#$bytes - 16#$header))
done

# ---- the environment: what the README says of each variable, and what is wrong with it
mapfile -t variables < <(sed -nE 's/^\| (CPROF_[A-Z_, ]*CPROF_[A-Z_]+|CPROF_[A-Z_]+) \|.*/\1/p' "$root/README.md" | tr -d ' ' | tr ',' '\n')
serial=0
# shellcheck disable=SC1003 # the backslash is meant
for value in 1 0 off 10ms 512K 1.5G -1 99999999999999999999 'a*[!b-z]?\' /tmp/x localhost:6060; do
	serial=$((serial + 1))
	for variable in "${variables[@]}"; do printf '%s=%s\0' "$variable" "$value"; done >"preload_environment/value-$serial"
done
printf 'CPROF_SESSION=%032x:%032x:4711\0CPROF_OUT=relative/path\0' 1 2 >preload_environment/session

# ---- maps of JIT code
{
	printf '7f0000001000 40 Builtin:Interpreter\n7f0000001040 100 LazyCompile:~loop /tmp/a b.js:1\n'
	printf '0x7f0000002000 0x20 with prefix\n7f0000002000 20 again\nffffffffffffffff ffff end\n\n12 nothing\n'
} >collector_perf_map/node
head -c 700 collector_perf_map/node >collector_perf_map/part

# ---- short texts: the first byte says which
text()
{
	# shellcheck disable=SC2059 # the format is the byte
	printf "\\x$1"
	printf '%s\n' "${@:2}"
}
number=0
for uri in /debug/pprof/ '/debug/pprof/profile?seconds=5&pid=12' '/debug/pprof/heap?debug=2&gc=1' /metrics \
	'/debug/pprof/symbol?0x401000+0x1' '/debug/pprof/trace?seconds=0.5&format=perfetto' '/debug/pprof/%74hreads?seconds=1h' /../../etc/passwd; do
	number=$((number + 1))
	text 00 GET "$uri" >"collector_text/uri-$number"
done
text 00 POST /debug/pprof/symbol >collector_text/post
text 01 localhost:6060 admin 1 localhost:6060 'Basic YWRtaW46c2VjcmV0' http://localhost:6060 >collector_text/headers
text 01 '[::1]:0' user navigate '[::1]:6060' 'Basic ====' null >collector_text/headers-v6
text 01 unix:/tmp/s >collector_text/unix
text 02 10m 24 debug "$(printf '%032x:%032x:4711' 1 2)" 0x401000 >collector_text/variables
{ printf '\x03' && cat /proc/self/status; } >collector_text/status
{ printf '\x03' && cat /proc/self/maps; } >collector_text/maps
{ printf '\x03' && cat /proc/self/syscall 2>/dev/null || echo 'running'; } >collector_text/syscall
for name in _ZNK5outer4pairIlE3sumEv _RNvNtCs1234_7mycrate3foo3bar _ZN4core3fmt9Formatter3pad17h0123456789abcdefE _Z1fIJiEEvDpT_; do
	text 04 "$name" >"collector_text/$name"
done

# ---- messages: flags (token is right, descriptors), then a registration, and each command
version=$(sed -nE 's/^#define CPROF_SHM_VERSION ([0-9]+).*/\1/p' "$root/include/cprof_shm.h")
for flags in 01 03 05 00; do
	# shellcheck disable=SC2059 # the format is the byte
	{ printf "\\x$flags" && printf PROFSHM1 && little 32 "$version" 4711 && head -c 16 /dev/zero && little 32 1 0; } >"collector_message/hello-$flags"
done
for command in 1 2 3 4; do
	{ printf '\x02CPRFCMD1' && little 32 "$version" $command 4711 63 15 100 && little 64 1 1 && little 32 1 0 && little 64 0; } \
		>"collector_message/command-$command"
done

# ---- patches of a segment: area, offset in 2 bytes, length, bytes
for area in 0 1 2 3 4 5 6 7 8 9 10 128 160 255; do
	{
		for offset in 0 8 64 120 200; do
			little 8 "$area" 0 "$offset" 7 255 255 255 255 255 255 255 255
			little 8 "$area" 0 "$offset" 7 1 0 0 0 0 0 0 128
		done
	} >"collector_segment/area-$area"
done
{ for ((i = 0; i < 40; i++)); do little 8 9 0 64 3 $i 0 0 0 10 2 $((i * 6)) 23 1 1 1 1 255 0 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9; done; } >collector_segment/rings

# ---- patches of a spool: its end, then offset in 3 bytes, length, bytes; head, control block, pages
for at in 0 8 16 24 32 40 48 56 4096 4100 4152 8192 12288 12296 12304 12352 12360 12368 16384 16392 16400 16408 16424 16448 16456 20480; do
	{
		printf '\x01\x00' && little 8 $((at >> 16)) $((at >> 8 & 255)) $((at & 255)) 7 255 255 255 255 255 255 255 255
		little 8 $((at >> 16)) $((at >> 8 & 255)) $((at + 8 & 255)) 3 0 0 1 0
	} >"collector_spool/at-$at"
	{ little 8 $((at >> 8 & 254)) $((at & 255)) && little 8 0 48 80 0 1; } >"collector_spool/cut-$at"
done
rm -rf work
