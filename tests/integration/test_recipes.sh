#!/bin/bash
# SPDX-License-Identifier: MIT
# The recipes of share/cprof: each is valid for who reads it, as far as that can be asked
# here, and what the container ones promise holds in a container made by hand: a foreign
# image, a read-only root, no rights, PID 1.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

share=$HERE/../../share/cprof

# ---- what is written there ---------------------------------------------------------------------

unknown=$(grep -rhoE 'CPROF_[A-Z_]+[A-Z]' "$share" | sort -u | while read -r name; do
	grep -q "\"$name\"" "$HERE/../../preload/config.c" || echo "$name"
done)
expect_equal "every variable is known" "" "$unknown"

mkdir -p "$TMP/units/app.service.d" "$TMP/configs"
printf '[Service]\nExecStart=/bin/true\nProtectSystem=strict\n' >"$TMP/units/app.service"
cp "$share/systemd.conf" "$TMP/units/app.service.d/cprof.conf"
if command -v systemd-analyze >/dev/null; then
	expect "the drop-in is valid" env SYSTEMD_UNIT_PATH="$TMP/units:" systemd-analyze verify --man=no "$TMP/units/app.service"
	expect_equal "without a word" "" "$(<"$TMP/expect.log")"
else
	skip_check "systemd-analyze is not here"
fi

yaml=$(command -v /usr/bin/python3 || command -v python3 || true)
if [[ -n $yaml ]] && "$yaml" -c 'import yaml' 2>/dev/null; then
	for file in kubernetes.yaml parca.yaml prometheus.yml; do
		expect "$file is YAML" "$yaml" -c 'import sys, yaml; assert yaml.safe_load(open(sys.argv[1]))' "$share/$file"
	done
	"$yaml" - "$share/kubernetes.yaml" >"$TMP/pod" <<-'PY'
		import sys, yaml
		spec = yaml.safe_load(open(sys.argv[1]))["spec"]
		volumes = {v["name"] for v in spec["volumes"]}
		for c in spec["initContainers"] + spec["containers"]:
		    assert {m["name"] for m in c["volumeMounts"]} <= volumes, c["name"]
		    assert c["securityContext"]["readOnlyRootFilesystem"] and c["securityContext"]["capabilities"] == {"drop": ["ALL"]}
		for e in spec["containers"][0]["env"]:
		    if "value" in e: print("%s=%s" % (e["name"], e["value"]))
	PY
	expect "the pod sets LD_PRELOAD" grep -qx 'LD_PRELOAD=/cprof/libcprof.so' "$TMP/pod"
else
	skip_check "no reader of YAML here"
fi
if command -v promtool >/dev/null; then
	cp "$share/alerts.yml" "$TMP/configs/"
	echo x >"$TMP/configs/pw"
	sed 's,/etc/prometheus/pprof-password,pw,' "$share/prometheus.yml" >"$TMP/configs/prometheus.yml"
	expect "prometheus.yml is valid" promtool check config "$TMP/configs/prometheus.yml"
else
	skip_check "promtool is not here"
fi

# ---- what it promises --------------------------------------------------------------------------

command -v curl >/dev/null || skip_test "curl is not installed"
[[ $(id -u) == 0 ]] && unshare -mpf --mount-proc true 2>/dev/null || {
	skip_check "containers cannot be made here"
	finish
}

expect "make install" make -s -C "$HERE/../.." install BUILD="$BUILD" DESTDIR="$TMP/installed" PREFIX=/usr
expect "bundle.sh" sh "$share/bundle.sh" "$TMP/installed/usr" "$TMP/bundle"
expect "no library of libc's is in it" bash -c "! ls '$TMP/bundle/lib' | grep -E '^(libc|libm|ld-linux[^.]*)\.so'"

# An image that has the program, its libc and nothing else.
image=$TMP/image
mkdir -p "$image"/{bin,proc,dev,cprof,profiles,etc/pprof,tmp}
cp "$VICTIMS/http_steps" "$(command -v env)" "$image/bin/"
for file in $(ldd "$image"/bin/* | grep -oE '/lib[^ ]+') /lib/*/libm.so.6 /lib/*/libresolv.so.2; do
	mkdir -p "$image$(dirname "$file")"
	cp -L "$file" "$image$file"
done
mkfifo "$TMP/in"
chmod 0755 "$TMP"
mkdir "$TMP/volume" "$TMP/secret"
chown 1000:1000 "$TMP/volume"
echo secret >"$TMP/secret/password"
chown -R 0:1000 "$TMP/secret"
chmod 0440 "$TMP/secret/password"
chmod 0750 "$TMP/secret"

port=$((20000 + $$ % 20000))
server_port=$((port + 1))
mkdir -p "$TMP/got"
python3 "$HERE/pyroscope.py" $server_port "$TMP/got" &
server_pid=$!
trap 'kill -KILL $server_pid 2>/dev/null || true' EXIT
expect "a server to push to" wait_until 20 curl -s -o /dev/null http://127.0.0.1:$server_port
# shellcheck disable=SC2016 # for the inner shell to expand
LIMIT=200 bounded setpriv --no-new-privs unshare -mpf --propagation private bash -c '
	set -e
	image=$1
	mount --bind "$image" "$image"
	mount --bind "$2" "$image/cprof"
	mount --bind "$3" "$image/profiles"
	mount --bind "$4" "$image/etc/pprof"
	mount -t proc proc "$image/proc"
	mount -o remount,bind,ro "$image/cprof"
	mount -o remount,bind,ro "$image/etc/pprof"
	mount -o remount,bind,ro "$image"
	shift 4
	exec unshare -R "$image" -S 1000 -G 1000 -w / /bin/env -i "$@" /bin/http_steps' bash \
	"$image" "$TMP/bundle" "$TMP/volume" "$TMP/secret" LD_PRELOAD=/cprof/libcprof.so CPROF_OUT=/profiles \
	CPROF_HTTP=0.0.0.0:$port CPROF_HTTP_PASSWORD_FILE=/etc/pprof/password CPROF_HEAP_RATE=1 \
	CPROF_PUSH=http://127.0.0.1:$server_port CPROF_LABELS=service=checkout,pod=p-1 <"$TMP/in" >"$TMP/said" 2>"$TMP/stderr" &
container=$!
exec {steps}>"$TMP/in"
has_said() { (($(grep -c "done" "$TMP/said") >= $1)); }
echo "alloc 1000 100" >&"$steps"
echo "threads 1" >&"$steps"
echo "burn 20000" >&"$steps"
expect "the program works" wait_until 30 has_said 3
url=http://admin:secret@127.0.0.1:$port
expect "heap" curl -sf -o "$TMP/heap" "$url/debug/pprof/heap"
expect_equal "exact" 1000 "$(query "$TMP/heap" has allocate_blocks inuse_objects)"
expect_equal "not without the password" 401 "$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/debug/pprof/heap")"
expect "threads" curl -sf -o "$TMP/threads" "$url/debug/pprof/threads?debug=2"
expect "their stacks" grep -q '^wait_for_ever(' "$TMP/threads"
expect "metrics" curl -sf -o "$TMP/metrics" "$url/metrics"
expect_equal "of PID 1" 1 "$(curl -s "$url/metrics?pid=all" | grep -c '^cprof_threads{pid="1",process="http_steps"} 2$')"
echo quit >&"$steps"
wait $container || fail "the container's exit status: $?"
expect_equal "it says nothing" "" "$(<"$TMP/stderr")"
OUT=$TMP/volume
expect_equal "files" "http_steps.1.cpu.pb.gz http_steps.1.heap.pb.gz" "$(ls -A "$OUT" | xargs)"
expect_all_valid "in the volume"
pushed=$(compgen -G "$TMP/got/*.heap.pb.gz" | sort | tail -1)
expect_equal "the last interval was sent before PID 1 ended" 1000 "$(query "$pushed" has allocate_blocks inuse_objects)"
expect_equal "by its labels" 'checkout{service=checkout,pod=p-1}' "$(cut -d' ' -f5- "$TMP/got/taken" | sort -u)"
finish
