#!/usr/bin/env bash
# fuzz.sh TIME: runs every fuzz target for TIME.
set -euo pipefail
cd "$(dirname "$0")/.."
grep -rlE '^func Fuzz' --include='*_test.go' . | while read -r file; do
  dir=$(dirname "$file")
  grep -oE '^func Fuzz[A-Za-z0-9_]*' "$file" | awk '{print $2}' | while read -r target; do
    echo "fuzzing $target in $dir"
    (cd "$dir" && go test -run '^$' -fuzz "^$target\$" -fuzztime "$1" .)
  done
done
