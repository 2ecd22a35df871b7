#!/bin/bash
# SPDX-License-Identifier: MIT
# Segments that are damaged in many more ways.
set -euo pipefail
ROUNDS=${ROUNDS:-200} exec bash "$(dirname "$0")/../integration/test_bad_input.sh"
