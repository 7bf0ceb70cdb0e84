#!/usr/bin/env bash
# each.sh [-j N] "MODULES" COMMAND…: runs a command in every module on its own (GOWORK=off), all of them, N at once, and fails if any failed. Each module's
# output comes whole, when it has ended.
set -uo pipefail
jobs=1
if [[ $1 == -j ]]; then jobs=$2; shift 2; fi
modules=$1; shift
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
one() { # MODULE COMMAND…
  local m=$1 log=$out/${1//\//-}; shift
  (cd "$m" && GOWORK=off "$@") >"$log" 2>&1 || touch "$log.failed"
  flock "$out" cat "$log"
}
for m in $modules; do
  while (($(jobs -rp | wc -l) >= jobs)); do wait -n; done
  one "$m" "$@" &
done
wait
failed=()
for m in $modules; do
  [[ -e $out/${m//\//-}.failed ]] && failed+=("$m")
done
if ((${#failed[@]})); then
  echo "failed in: ${failed[*]}" >&2
  exit 1
fi
