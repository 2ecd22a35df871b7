#!/bin/bash
# SPDX-License-Identifier: MIT
# Children, with and without exec, get profiles of their own, and the parent's are as if they were not.
set -euo pipefail
source "$(dirname "$0")/lib.sh"
steady_cpu

MILLISECONDS=300

# family MODE: runs it, waits for all files; the truth is its output.
family()
{
	fresh_out
	mode=$1
	expect_equal "$mode: exit status" 0 "$(status_of profiled CPROF_HEAP_RATE="${RATE:-524288}" "$VICTIMS/family" "$mode" $MILLISECONDS)"
	expect_equal "$mode: nothing on stderr" "" "$(<"$TMP/stderr")"
	expect "$mode: settles" settle
	expect_all_valid "$mode"
}

# part_burnt PART: each process that was this part has its cpu profile, with its time in the
# part's function.  Systematic sampling of one stretch: exact to about a tick at either end.
part_burnt()
{
	local part=$1 pid ns file seen=0
	while read -r pid ns; do
		seen=$((seen + 1))
		file=$(compgen -G "$OUT/*.$pid.cpu.pb.gz" || true)
		if [[ -z $file ]]; then
			fail "$mode: $part has no cpu profile: $(ls "$OUT" | xargs)"
			continue
		fi
		expect_steady "$mode: $part in ms, of $((ns / 1000000))" $((ns / 1000000 - 45)) \
			$(($(query "$file" has "$part" cpu) / 1000000)) $((ns / 1000000 + 35))
		parts_in "$file" "$part"
	done < <(awk -v p="$part" '$1 == p { print $2, $3 }' "$TMP/stdout")
	expect_range "$mode: processes that were $part" "${2:-1}" "$seen" "${2:-1}"
}

# parts_in FILE PART: no other part's work is in it.
parts_in()
{
	local other
	for other in parent_work child_work grandchild_work leaf_work; do
		[[ $other == "$2" || ( $mode == threads && $other == parent_work ) ]] && continue
		expect_equal "$mode: no $other in the profile of $2" 0 "$(query "$1" has $other samples)"
	done
}

family fork
part_burnt parent_work
part_burnt child_work
family plain-fork
part_burnt parent_work
part_burnt child_work
RATE=1 family raw-clone
part_burnt child_work
family tree
part_burnt parent_work
part_burnt child_work
part_burnt grandchild_work
family threads
part_burnt child_work 3
family daemon
part_burnt grandchild_work
family exec
part_burnt parent_work
part_burnt leaf_work
family vfork
part_burnt parent_work
part_burnt leaf_work 3
RATE=1 family vfork-in-child
part_burnt parent_work
part_burnt child_work
family spawn
part_burnt parent_work
part_burnt leaf_work 3
family many
part_burnt parent_work
expect_equal "many: short children without samples leave no files" "" "$(compgen -G "$OUT/true.*" || true)"

if [[ $(id -u) == 0 ]]; then
	for drop in setuid chroot unshare; do
		family $drop
		part_burnt child_work
		part_burnt parent_work
	done
	# A directory that the dropped uid may not write: the collector writes for it.
	expect_equal "mode of the files" 600 "$(stat -c %a "$OUT"/* | sort -u)"
else
	skip_check "dropping privileges needs root"
fi
family seccomp
part_burnt child_work
part_burnt parent_work
family strict
part_burnt parent_work
strict_file=$(ls "$OUT"/family.*.cpu.pb.gz | while read -r f; do (( $(query "$f" has strict_work samples) > 0 )) && echo "$f"; done || true)
expect "strict: the child has its cpu profile" test -n "$strict_file"

# Heap at rate 1: each its own blocks; a child that frees its copies of the parent's takes nothing away.
RATE=1 family heap
parent=$(profiles_of family heap | sort -t. -k2n | while read -r f; do (( $(query "$f" has parent_allocates alloc_objects) > 0 )) && echo "$f"; done || true)
child=$(profiles_of family heap | while read -r f; do (( $(query "$f" has child_allocates alloc_objects) > 0 )) && echo "$f"; done || true)
sums()
{
	for type in alloc_objects alloc_space inuse_objects inuse_space; do query "$1" has "$2" $type; done | xargs
}
expect_equal "heap: two profiles" 2 "$(profiles_of family heap | wc -l)"
expect_equal "heap: parent exact" "340 340000 240 240000" "$(sums "$parent" parent_allocates)"
expect_equal "heap: nothing of the child in the parent" "0 0 0 0" "$(sums "$parent" child_allocates)"
expect_equal "heap: child exact" "50 100000 30 60000" "$(sums "$child" child_allocates)"
expect_equal "heap: nothing of the parent in the child" "0 0 0 0" "$(sums "$child" parent_allocates)"

# Forks in the middle of other threads' samples: nothing hangs, nothing is counted twice.
RATE=1 family storm
expect_equal "storm: each child has its heap profile" 61 "$(profiles_of family heap | wc -l)"
expect_equal "storm: each child exact" "50 100000 50 100000" \
	"$(profiles_of family heap | while read -r f; do sums "$f" child_allocates; done | sort -u | grep -v '^0 0 0 0$')"
expect_equal "storm: all the parent's are freed" "0 0" "$(profiles_of family heap | while read -r f; do
	echo "$(query "$f" has parent_allocates inuse_objects) $(query "$f" has parent_allocates inuse_space)"
done | sort -u)"

# A shell tree: first process, builtins in forked subshells, exec'd children.
fresh_out
expect_equal "shell: output" "1 2 done 5" "$(profiled bash -c '(echo 1); (exec echo 2); "$1" 300 5; echo $?' bash "$VICTIMS/steady" | xargs)"
expect "shell: settles" settle
expect_all_valid shell
expect_profile steady cpu "shell: child of the shell"
finish
