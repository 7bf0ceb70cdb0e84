#!/usr/bin/env bash
# each.sh "MODULES" COMMAND…: runs a command in every module on its own (GOWORK=off), all of them, and fails if any failed.
set -uo pipefail
modules=$1; shift
root=$PWD; failed=()
for m in $modules; do
  (cd "$root/$m" && GOWORK=off "$@") || failed+=("$m")
done
if ((${#failed[@]})); then
  echo "failed in: ${failed[*]}" >&2
  exit 1
fi
