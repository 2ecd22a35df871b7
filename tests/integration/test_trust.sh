#!/bin/bash
# SPDX-License-Identifier: MIT
# Other users of the machine: they cannot make cprof write where it should not, read what it
# writes, speak for a program, or keep the collector from its work; a program with rights of its
# own is left alone.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

[[ $(id -u) == 0 ]] || skip_test "needs root to be other users"
nobody=(setpriv --reuid 65534 --regid 65534 --clear-groups)
chmod 755 "$TMP"

# ---- what lies in a directory that everybody may write to
# trapped WHAT COMMAND: COMMAND makes a trap with the name in $1, on the file in $2; steady then runs with that name's PID.
trapped()
{
	local what=$1 set_trap=$2 victim=$TMP/precious kind before
	for kind in cpu.pb.gz heap.pb.gz; do
		fresh_out
		chmod 1777 "$OUT"
		echo "precious" >"$victim"
		chmod 666 "$victim" # so that others can link to it
		before=$(stat -c '%i %s %a %U' "$victim")
		# shellcheck disable=SC2016 # for the inner shell
		expect_equal "$what, $kind: exit status" 5 "$(status_of bounded bash -c '
			name=$3/steady.$$.$4
			setpriv --reuid 65534 --regid 65534 --clear-groups bash -c "$1" trap "$name" "$2" || exit 99
			exec env LD_PRELOAD="$5" CPROF_OUT="$3" CPROF_HEAP_RATE=1 "$6" 60 5' \
			bash "$set_trap" "$victim" "$OUT" "$kind" "$CPROF_LIB" "$VICTIMS/steady")"
		expect "$what, $kind: settles" settle
		expect_equal "$what, $kind: the file is as it was" "$before precious" "$(stat -c '%i %s %a %U' "$victim") $(<"$victim")"
		expect_equal "$what, $kind: the profile has another name" 1 \
			"$(find "$OUT" -maxdepth 1 -type f -user root -name "steady.*-2.$kind" | wc -l)"
		expect_equal "$what, $kind: nobody else can read it" 600 \
			"$(find "$OUT" -maxdepth 1 -type f -user root -name 'steady.*-2.*' -printf '%m\n' | sort -u)"
		expect "$what, $kind: it is valid" "$PPROFQ" "$OUT"/steady.*-2."$kind" check
		expect_equal "$what, $kind: nothing new elsewhere" "" "$(find "$TMP" -name dangling)"
	done
}
sysctl_links=$(cat /proc/sys/fs/protected_hardlinks 2>/dev/null || echo 0)
trapped "symbolic link" 'ln -s "$2" "$1"'
trapped "dangling symbolic link" 'ln -s "$2.dangling" "$1"'
[[ $sysctl_links == 1 ]] || trapped "hard link" 'ln "$2" "$1"'
trapped "named pipe" 'mkfifo "$1"'
trapped "directory" 'mkdir "$1"'
trapped "file of another user" 'echo mine >"$1"'

# The data kept in a file, likewise.
fresh_out
chmod 1777 "$OUT"
echo precious >"$TMP/precious"
# shellcheck disable=SC2016
expect_equal "segment file: exit status" 5 "$(status_of bounded bash -c '
	setpriv --reuid 65534 --regid 65534 --clear-groups ln -s "$1" "$2/.steady.$$.cprof"
	exec env LD_PRELOAD="$3" CPROF_OUT="$2" CPROF_HEAP_RATE=1 CPROF_SEGMENT=file CPROF_COLLECTOR=/nonexistent "$4" 60 5' \
	bash "$TMP/precious" "$OUT" "$CPROF_LIB" "$VICTIMS/steady")"
expect_equal "segment file: the linked file is as it was" precious "$(<"$TMP/precious")"
segment=$(find "$OUT" -type f -name '.steady.*.cprof')
expect "segment file: it has another name" test -n "$segment"
expect_equal "segment file: nobody else can read it" 600 "$(stat -c %a "$segment")"

# ---- what is made is closed to others, whatever the umask
fresh_out
rm -rf "$OUT"
(umask 0; profiled CPROF_SEGMENT=file CPROF_HEAP_RATE=1 "$VICTIMS/steady" 60 >/dev/null)
expect "made: settles" settle
expect_equal "made: directory and files" "700 600" "$(stat -c %a "$OUT") $(stat -c %a "$OUT"/* | sort -u | xargs)"

# ---- no secret is in the data, not even in the raw ones
fresh_out
profiled SECRET_WORD=xyzzy-1234 CPROF_HEAP_RATE=1 CPROF_SEGMENT=file CPROF_COLLECTOR=/nonexistent \
	"$VICTIMS/steady" 60 0 "plugh-5678" >/dev/null 2>&1 || true
expect "raw data are there" test -e "$(find "$OUT" -name '.steady.*.cprof')"
expect_equal "no secret in them" "" "$(grep -aoE 'xyzzy-1234|plugh-5678' "$OUT"/.steady.*.cprof || true)"

# ---- strangers at the socket
cat >"$TMP/stranger.py" <<'PYTHON'
import os, socket, struct, sys, time
names = [l.split()[-1] for l in open("/proc/net/unix") if "@cprof" in l]
name = sorted(set(names), key=names.index)[-1]
address = b"\0" + name[1:].encode()
held, refused = [], 0
for i in range(600):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.setblocking(False)
    try:
        s.connect(address)
        if i % 3 == 0:
            s.send(os.urandom(64))
        elif i % 3 == 1:
            # a message of the right length with descriptors of its own and a guessed token
            r, w = os.pipe()
            s.sendmsg([b"\0" * 4096], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("ii", r, w))])
            os.close(r), os.close(w)
        held.append(s)
    except OSError:
        refused += 1
print("held", len(held), "refused", refused, flush=True)
sys.stdin.read()
PYTHON
fresh_out
mkfifo "$TMP/hold" "$TMP/hold2"
profiled CPROF_HEAP_RATE=1 bash -c 'read -r line <"$2"; "$1" 60 5; exit $?' bash "$VICTIMS/steady" "$TMP/hold" >"$TMP/stdout" 2>"$TMP/stderr" &
shell_pid=$!
wait_until 10 have_collectors
exec 9<>"$TMP/hold2"
"${nobody[@]}" /usr/bin/python3 "$TMP/stranger.py" >"$TMP/stranger.log" 2>&1 <"$TMP/hold2" &
stranger=$!
expect "strangers: they are at the door" wait_until 20 grep -q '^held' "$TMP/stranger.log"
echo go >"$TMP/hold"
status=0
wait $shell_pid || status=$?
expect_equal "strangers: exit status" 5 "$status"
kill $stranger 2>/dev/null || true
exec 9<&-
expect "strangers: settles" settle
expect_equal "strangers: nothing but the program's own profiles" "bash steady" "$(cd "$OUT" && ls | cut -d. -f1 | sort -u | xargs)"
expect_profile steady heap "strangers: the child came through"
expect_equal "strangers: exact" "1000 100000" \
	"$(query "$(profile steady heap)" has steady_allocates alloc_objects) $(query "$(profile steady heap)" has steady_allocates alloc_space)"
expect_equal "strangers: the token is on no command line" "" "$(grep -E '[0-9a-f]{32}:[0-9a-f]{32}' "$TMP/stranger.log" || true)"

# ---- a program with rights of its own, for which the loader does preload us
directory=/usr/lib/x86_64-linux-gnu
if unshare -m bash -c "mkdir -p '$TMP/upper' '$TMP/work' && mount -t tmpfs none '$TMP/upper' && mkdir '$TMP/upper/u' '$TMP/upper/w' &&
	mount -t overlay -o lowerdir=$directory,upperdir='$TMP/upper/u',workdir='$TMP/upper/w' none $directory" 2>/dev/null; then
	fresh_out
	cp "$VICTIMS/steady" "$TMP/with-rights"
	chown 65534 "$TMP/with-rights"
	chmod 4755 "$TMP/with-rights"
	# preloaded USER PROGRAM: with the library set-uid in a trusted directory.
	preloaded()
	{
		unshare -m bash -c "mount -t tmpfs none '$TMP/upper' && mkdir '$TMP/upper/u' '$TMP/upper/w' &&
			mount -t overlay -o lowerdir=$directory,upperdir='$TMP/upper/u',workdir='$TMP/upper/w' none $directory &&
			install -m 4755 '$CPROF_LIB' $directory/libcprof.so &&
			exec env LD_PRELOAD=libcprof.so CPROF_COLLECTOR='$BUILD/cprof-collector' CPROF_OUT='$OUT' '$1' 60 5"
	}
	expect_equal "no rights: exit status" 5 "$(status_of preloaded "$VICTIMS/steady")"
	expect "no rights: settles" settle
	expect_profile steady cpu "no rights: it is preloaded and works"
	fresh_out
	expect_equal "set-uid: exit status" 5 "$(status_of preloaded "$TMP/with-rights")"
	expect "set-uid: settles" settle
	expect_equal "set-uid: nothing said" "" "$(<"$TMP/stderr")"
	expect_equal "set-uid: nothing done" "" "$(ls -A "$OUT")"
else
	skip_check "set-uid programs: no overlay mounts here"
fi
finish
