#!/bin/bash
# SPDX-License-Identifier: MIT
# The world around the program is hostile: other preloaded libraries, sanitizers, loader settings,
# limits, file systems that are missing, full or not writable, children that cannot be profiled.
set -euo pipefail
source "$(dirname "$0")/lib.sh"
source "$HERE/hostile.sh"

ulimit -c 0
libraries=/usr/lib/x86_64-linux-gnu

# ---- other preloaded libraries, before and after
for other in $libraries/libjemalloc.so.2 $libraries/libtcmalloc_minimal.so.4 "$HOSTILE/libslow_malloc.so" \
	/usr/libexec/coreutils/libstdbuf.so; do
	if [[ ! -e $other ]]; then
		skip_check "$other is not installed"
		continue
	fi
	name=$(basename "${other%%.so*}")
	BEFORE=$other hostile "behind-$name" "$HOSTILE/fork_storm" 3
	AFTER=$other hostile "before-$name" "$HOSTILE/fork_storm" 3
	AFTER=$other hostile "before-$name-exceptions" "$HOSTILE/exceptions"
done

# ---- what the loader and libc can be told
hostile bind-now LD_BIND_NOW=1 "$HOSTILE/loads_unloads" "$HOSTILE/libpiece.so" 5
hostile malloc-perturb MALLOC_PERTURB_=165 "$HOSTILE/allocators_mixed"
hostile malloc-tunables GLIBC_TUNABLES=glibc.malloc.tcache_count=0:glibc.malloc.arena_max=1 "$HOSTILE/allocators_mixed"
hostile no-rseq GLIBC_TUNABLES=glibc.pthread.rseq=0 "$HOSTILE/thread_ends"
if gcc -shared -fPIC -o "$TMP/libaudit.so" -xc - 2>"$TMP/gcc.log" <<'C'; then
unsigned la_version(unsigned version) { return version; }
C
	hostile audited LD_AUDIT="$TMP/libaudit.so" "$HOSTILE/loads_unloads" "$HOSTILE/libpiece.so" 5
fi

# ---- sanitizers
sources=$HERE/victims/hostile
# sanitized NAME COMPILER... : the program under that sanitizer, if it is there.
sanitized()
{
	local name=$1 program
	shift
	for program in "threads_many churn 300" jumps; do
		[[ $name == tsan && $program == jumps ]] && continue # it races on purpose
		if ! "$@" -D_GNU_SOURCE -O1 -g -pthread -I"$HERE/victims" "$sources/${program%% *}.c" -o "$TMP/$name" 2>"$TMP/gcc.log"; then
			skip_check "$name: not installed"
			return
		fi
		# shellcheck disable=SC2086
		hostile "$name-${program%% *}" ASAN_OPTIONS=detect_leaks=0:handle_segv=0 \
			TSAN_OPTIONS=handle_segv=0:report_signal_unsafe=0 "$TMP/$name" ${program#"${program%% *}"}
	done
}
# The program's own malloc comes first: no heap profile, and one line that says so.
MISSING=heap ALLOWED='no heap profile of .*defines malloc itself$'
sanitized asan-static gcc -fsanitize=address -static-libasan
sanitized asan-clang clang -fsanitize=address
MISSING='' ALLOWED=''
sanitized ubsan gcc -fsanitize=undefined
sanitized tsan gcc -fsanitize=thread
asan=$(gcc -print-file-name=libasan.so)
if [[ -e $asan ]]; then
	BEFORE=$(realpath "$asan") sanitized asan-shared gcc -fsanitize=address
fi

# ---- limits that are there before cprof is
# limited NAME PRLIMIT_OPTION PROGRAM...
limited()
{
	AROUND=(prlimit "$2")
	hostile "$1" "${@:3}"
	AROUND=()
}
limited at-start-as --as=600000000 "$HOSTILE/fork_storm" 3
limited at-start-stack --stack=65536 "$HOSTILE/jumps"
MISSING=cpu # no timer can be made; the profiles say so
limited at-start-sigpending --sigpending=0 "$HOSTILE/fork_storm" 3
MISSING=
limited at-start-fsize --fsize=3000000: "$HOSTILE/threads_many" churn 300
limited at-start-nofile --nofile=12: "$HOSTILE/fork_storm" 3
limited at-start-memlock --memlock=0 "$HOSTILE/threads_many" churn 300
limited at-start-cpu --cpu=20 "$HOSTILE/fork_storm" 3

# ---- places that are missing, full or not writable
# changed NAME SCRIPT PROGRAM...: the script runs first, in a mount namespace of its own.
changed()
{
	AROUND=(unshare -m bash -c "set -e; out=$OUT tmp=$TMP build=$BUILD; $2"'; cd .; exec "$@"' bash)
	hostile "$1" "${@:3}"
	AROUND=()
}
if unshare -m mount -t tmpfs none /mnt 2>/dev/null; then
	changed no-proc 'umount -l /proc' "$HOSTILE/fork_storm" 3
	changed no-proc-relative 'umount -l /proc; cp "$build/tests/victims/hostile/fork_storm" .' ./fork_storm 3
	changed no-dev 'mount -t tmpfs none /dev' "$HOSTILE/fork_storm" 3
	changed shm-full 'mount -t tmpfs -o size=4k none /dev/shm; head -c 8192 /dev/zero >/dev/shm/full || true' "$HOSTILE/fork_storm" 3
	changed shm-missing 'umount -l /dev/shm; mount -t tmpfs -o ro none /dev/shm' "$HOSTILE/fork_storm" 3
	changed tmp-full 'exec 8<"$tmp" 9<"$build"; mount -t tmpfs -o size=16k none /tmp; mkdir -p "$tmp" "$build"
		mount -c --bind /proc/self/fd/8 "$tmp"; mount -c --bind /proc/self/fd/9 "$build"; cd "$tmp/scene"
		head -c 20000 /dev/zero >/tmp/full || true; exec 8<&- 9<&-' "$HOSTILE/fork_storm" 3
	changed root-read-only 'mount --bind "$tmp" "$tmp"; mount -o remount,bind,ro /; cd "$tmp/scene"' "$HOSTILE/fork_storm" 3
	changed sys-missing 'umount -l /sys' "$HOSTILE/fork_storm" 3
else
	skip_check "mount namespaces need root"
fi

# ---- standard descriptors closed
# shellcheck disable=SC2016
AROUND=(bash -c 'exec "$@" <&- 2>&-' bash)
hostile stdin-stderr-closed "$HOSTILE/fork_storm" 3
AROUND=()

# ---- children that cannot be profiled
cat >"$TMP/child32.c" <<'C'
static long call(long nr, long a, long b, long c)
{
	long result;
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(nr), "b"(a), "c"(b), "d"(c) : "memory");
	return result;
}
void _start(void)
{
	call(4, 1, (long)"32 bits\n", 8);
	for (;;)
		call(1, 24, 0, 0);
}
C
if gcc -m32 -nostdlib -static -ffreestanding -fno-pie -no-pie -fno-stack-protector "$TMP/child32.c" -o "$TMP/child32" 2>"$TMP/gcc.log"; then
	hostile child-32-bit "$HOSTILE/starts_strangers" "$TMP/child32"
fi
if [[ $(id -u) == 0 ]]; then
	cp "$HOSTILE/static_child" "$TMP/setuid_static"
	cp "$(command -v id)" "$TMP/setuid_id"
	chown 65534 "$TMP"/setuid_*
	chmod 4755 "$TMP"/setuid_*
	hostile child-setuid "$HOSTILE/starts_strangers" "$TMP/setuid_static" "$TMP/setuid_id"
fi
cp "$HOSTILE/steady" "$TMP/unreadable" 2>/dev/null || cp "$VICTIMS/steady" "$TMP/unreadable"
chmod 111 "$TMP/unreadable"
hostile child-unreadable "$HOSTILE/starts_strangers" "$TMP/unreadable"
finish
