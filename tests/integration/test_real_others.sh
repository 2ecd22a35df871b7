#!/bin/bash
# SPDX-License-Identifier: MIT
# A million C++ exceptions; bash, perl and git: same output and status, profiles with named functions.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

# same NAME COMMAND...: output, errors and status as without cprof, all profiles valid.
same()
{
	local name=$1 plain=0 seen=0
	shift
	fresh_out
	bounded "$@" >"$TMP/plain" 2>"$TMP/plain.err" || plain=$?
	profiled "$@" >"$TMP/seen" 2>"$TMP/seen.err" || seen=$?
	expect_equal "$name: exit status" "$plain" "$seen"
	expect "$name: same output" cmp "$TMP/plain" "$TMP/seen"
	expect "$name: same errors" diff "$TMP/plain.err" "$TMP/seen.err"
	expect "$name: settles" settle
	expect_all_valid "$name"
}

# largest NAME: of several processes of this name, the cpu profile of the one that did most.
largest()
{
	profiles_of "$1" cpu | while read -r file; do
		echo "$(query "$file" total samples) $file"
	done | sort -n | awk '{ last = $2 } END { print last }'
}

same "exceptions" "$VICTIMS/throws"
expect_equal "exceptions: all arrived" "caught 1000000 destroyed 3000000" "$(<"$TMP/seen")"
cpu=$(profile throws cpu)
samples=$(query "$cpu" total samples)
expect_range "exceptions: samples" 50 "$samples" 10000
# The last instructions of _Unwind_Resume, which put the handler's registers in place, are described by no
# unwind table: a sample there cannot be followed.  It is counted, and there is no other.
odd=$("$PPROFQ" "$cpu" stacks samples | grep -vE ';main;|_Unwind_|_dl_|exit' || true)
expect_equal "exceptions: all below main, but for the unwinder's own jumps" "" "$odd"
expect_range "exceptions: below main" $((samples * 9 / 10)) "$(query "$cpu" has main samples)" "$samples"
expect_range "exceptions: in the unwinder" $((samples / 5)) "$(query "$cpu" has _Unwind_RaiseException samples)" "$samples"
expect_range "exceptions: below catch_all" $((samples * 9 / 10)) "$(query "$cpu" has catch_all samples)" "$samples"

same "bash" bash -c 'f() { local i s=0; for ((i = 0; i < 60000; i++)); do s=$((s + i % 7)); done; echo $s; }
	f; x=$(f); echo "$x"; (exit 3); echo $?; printf "%s\n" {1..200} | sort -n | tail -1; f & wait; trap "echo bye" EXIT; kill -l 10; exit 9'
expect_range "bash: samples in execute_command_internal" 10 "$(query "$(largest bash)" has execute_command_internal samples)" 10000

if command -v perl >/dev/null; then
	same "perl" perl -e 'my %h; for my $i (1..1500000) { $h{$i % 5003} .= chr(65 + $i % 26); } my $n = 0; for (values %h) { $n++ while /AB|ZA/g } print "$n\n"; my $x = `echo sub`; print $x; print "pid ok\n" if fork || exit 4; wait; print $? >> 8, "\n"; die "with a word\n"'
	# Several perl processes: the one that worked.
	expect_range "perl: samples below perl_run" 5 "$(query "$(largest perl)" has perl_run samples)" 10000
fi

if command -v git >/dev/null; then
	mkdir -p "$TMP/repository"
	cat >"$TMP/git.sh" <<-'SCRIPT'
		set -e
		rm -rf "$1" && mkdir "$1" && cd "$1"
		export GIT_CONFIG_NOSYSTEM=1 HOME=$1 GIT_AUTHOR_DATE="2020-01-01T00:00:00Z" GIT_COMMITTER_DATE="2020-01-01T00:00:00Z"
		git init -q . 2>/dev/null
		git config user.email a@example.org && git config user.name A
		for i in $(seq 1 12); do
			for f in $(seq 1 30); do seq $i $((i * f * 3)) >file$f; done
			git add . && git commit -q -m "commit $i"
		done
		git log --oneline | wc -l
		git rev-parse HEAD
		git diff HEAD~5 --stat | tail -1
		git repack -adq && git fsck 2>&1
		git log -p | sha1sum
		git grep -c 17 | tail -2
		git bisect start -q HEAD HEAD~8 2>&1 | tail -1 | sed 's/ \[.*//'
		git checkout -q no-such-branch
	SCRIPT
	same "git" bash "$TMP/git.sh" "$TMP/repository"
	expect_range "git: profiles of several commands" 3 "$(profiles_of git heap | wc -l)" 10000
fi

same "a pipeline with an early end" bash -c 'set -o pipefail; yes | head -100000 | sort -u; seq 1000000 | head -1; echo "${PIPESTATUS[@]}"'
same "a static program is not disturbed" bash -c 'ldconfig --version | sed -n 1p | cut -c1-8; ldconfig -p >/dev/null; echo $?'
if command -v musl-gcc >/dev/null; then
	musl-gcc -O1 -pthread -o "$TMP/another_libc" "$HERE/victims/another_libc.c"
	same "a program of another libc is not disturbed" sh -c "'$TMP/another_libc'; echo \$?"
	expect_equal "a program of another libc: no profile" "" "$(compgen -G "$OUT/another_libc.*" || true)"
	expect_equal "a program of another libc, first: exit status" 3 "$(status_of profiled CPROF_TRACE=flight "$TMP/another_libc")"
	expect_equal "a program of another libc, first: nothing said" "" "$(<"$TMP/stderr")"
else
	skip_check "no musl-gcc"
fi
same "script, dash, awk, sed" sh -c 'awk "BEGIN { for (i = 0; i < 300000; i++) s += i * i % 17; print s }" | sed "s/1/x/g"; exit 200'
finish
