#!/bin/bash
# SPDX-License-Identifier: MIT
# A program that writes over its segment, differently each time.
set -euo pipefail
ROUNDS=${ROUNDS:-60} exec bash "$(dirname "$0")/../integration/test_scribble.sh"
