#!/bin/bash
# SPDX-License-Identifier: MIT
# Each fuzzer over its seeds, over those that once found something, and over some changes of each:
# the same in each run, and without libFuzzer.  `make fuzz` searches.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

expect "seeds are made" bash "$HERE/../fuzz/seeds.sh" "$TMP/seeds"
for source in "$HERE"/../fuzz/fuzz_*.c; do
	name=$(basename "$source" .c)
	name=${name#fuzz_}
	mutations=100
	[[ $name == collector_elf ]] && mutations=20
	files=("$TMP/seeds/$name"/* "$HERE/../fuzz/found/$name"-*)
	for i in "${!files[@]}"; do [[ -e ${files[i]} ]] || unset "files[i]"; done
	expect_range "$name: inputs" 1 "${#files[@]}" 1000
	expect "$name: survives them and $mutations changes of each" bounded "$BUILD/tests/fuzz/fuzz_$name" "$mutations" "${files[@]}"
done
finish
