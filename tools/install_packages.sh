#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Installs what building, testing and the demo need and this Debian 12 machine lacks;
# says nothing and touches nothing if all is there.  A Go of 1.19 or newer that is in
# PATH or /usr/local/go/bin is used as it is.  Services that come with packages are
# not started: the tests start their own.
#
#     tools/install_packages.sh [bench]    bench: what the benchmarks compare with, too
set -euo pipefail

packages=(
	# to build
	gcc g++ make binutils libc6-dev libjemalloc-dev libprotobuf-c-dev protobuf-c-compiler
	libdw-dev libelf-dev libiberty-dev zlib1g-dev libmicrohttpd-dev libcurl4-openssl-dev
	# to check
	libcriterion-dev libunwind-dev protobuf-compiler clang-format clang-tidy cppcheck shellcheck
	# programs to profile, and what the tests look at them with
	redis-server redis-tools sqlite3 nginx-light wrk python3 libpython3.11-testsuite
	memcached mariadb-server-core mariadb-client-core python3-yaml prometheus
	libjemalloc2 libgoogle-perftools4 libtcmalloc-minimal4
	strace util-linux procps file elfutils ca-certificates curl git perl bzip2 xz-utils dwz llvm clang stress-ng
)

if [[ ${1:-} == bench ]]; then
	packages+=(google-perftools libgoogle-perftools-dev heaptrack linux-perf memcached python3.11-dbg
		tcl libclang-rt-14-dev)
fi

# Whether the Go at $1 can read what we write (1.19 or newer).
is_go_recent()
{
	local version
	version=$("$1" env GOVERSION 2>/dev/null) || return 1
	[[ $version =~ ^go([0-9]+)\.([0-9]+) ]] || return 1
	((BASH_REMATCH[1] > 1 || BASH_REMATCH[2] >= 19))
}

if ! is_go_recent go && ! is_go_recent /usr/local/go/bin/go; then
	packages+=(golang-go)
fi

is_installed()
{
	[[ $(dpkg-query -W -f='${Status}' "$1" 2>/dev/null) == 'install ok installed' ]]
}

missing=()
for package in "${packages[@]}"; do
	# Any nginx will do: nginx-light is only the smallest.
	if [[ $package == nginx-light && -x /usr/sbin/nginx ]]; then
		continue
	fi
	is_installed "$package" || missing+=("$package")
done
((${#missing[@]})) || exit 0

as_root=()
if ((EUID != 0)); then
	if ! command -v sudo >/dev/null; then
		echo "install_packages: missing: ${missing[*]}; neither root nor sudo is at hand to install them" >&2
		exit 1
	fi
	as_root=(sudo)
fi
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y
	-o Acquire::Retries=5 -o Acquire::http::Timeout=30 -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0)

# Mirrors have bad minutes; what apt says matters only if it fails in the end.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
with_patience()
{
	local pause
	for pause in 5 20 60 0; do
		if "$@" >"$log" 2>&1; then
			return 0
		fi
		sleep "$pause"
	done
	cat "$log" >&2
	return 1
}

# Debian's hook against services that start on installation; ours only if there is none.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
	printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
	"${as_root[@]}" chmod 755 "$policy"
	trap 'rm -f "$log"; "${as_root[@]}" rm -f "$policy"' EXIT
fi

echo "installing: ${missing[*]}"
with_patience "${apt[@]}" update
with_patience "${apt[@]}" install --no-install-recommends "${missing[@]}"
