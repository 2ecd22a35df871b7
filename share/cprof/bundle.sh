#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Puts all that a program needs to be profiled into one directory, to be mounted or
# copied into containers that know nothing of cprof: libcprof.so, the collector, and in
# lib/ the libraries that the collector loads; libc's own are the container's, whose
# glibc has to be as new as this machine's.  The program finds none of lib/.
#
#     bundle.sh PREFIX DIRECTORY        # then: LD_PRELOAD=DIRECTORY/libcprof.so
set -eu
if [ $# -ne 2 ]; then
	echo "usage: bundle.sh PREFIX DIRECTORY" >&2
	exit 2
fi
prefix=$1
directory=$2
mkdir -p "$directory/lib"
cp "$prefix/lib/libcprof.so" "$prefix/libexec/cprof/cprof-collector" "$directory/"

# Those that are loaded only when something asks for them: threads, CPROF_HTTP, CPROF_PUSH.
later=$(/sbin/ldconfig -p | awk '$1 ~ /^(libunwind-[a-z0-9_]*|libmicrohttpd|libcurl)\.so\.[0-9]+$/ && !seen[$1]++ { print $NF }')
# shellcheck disable=SC2086 # one path each
for file in "$directory/cprof-collector" $later; do
	ldd "$file" | awk '$2 == "=>" && $3 ~ "^/" { print $3 }'
	[ "$file" = "$directory/cprof-collector" ] || echo "$file"
done | sort -u | grep -vE '/(libc|libm|libdl|libpthread|librt|libresolv)\.so' | while read -r file; do
	cp -L "$file" "$directory/lib/"
done
