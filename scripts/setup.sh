#!/usr/bin/env bash
# Installs what building and the demo need; with the word "tests", also what only other templates import.
# Idempotent; takes a second when everything is there.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
  bubblewrap                       # the sandbox
  gcc libc6-dev                    # the race detector and NVML
  patch
  texlive-latex-base texlive-latex-recommended texlive-fonts-recommended texlive-latex-extra texlive-science chktex poppler-utils
  python3 python3-venv python3-numpy python3-scipy python3-matplotlib libopenblas0-pthread
)
[[ "${1:-}" != tests ]] || packages+=(python3-sklearn python3-torch)

missing=()
for p in "${packages[@]}"; do
  [[ "$(dpkg-query -W -f='${Status}' "$p" 2>/dev/null)" == "install ok installed" ]] || missing+=("$p")
done
if ((${#missing[@]})); then
  install=(apt-get install -y --no-install-recommends "${missing[@]}")
  if [[ $(id -u) == 0 ]]; then
    sudo=()
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    sudo=(sudo)
  else
    echo "Packages are missing, and there is no right to install them here. Run this, then try again:" >&2
    echo "  sudo apt-get update && sudo ${install[*]}" >&2
    exit 1
  fi
  echo "installing ${missing[*]}"
  "${sudo[@]}" apt-get update -q >/dev/null
  DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null
fi

command -v go >/dev/null || { echo "Go 1.26 or later is needed: https://go.dev/dl/" >&2; exit 1; }

# The Python reviewer's environment, made anew when its requirements change.
requirements=services/reviewer/examples/requirements.txt
stamp=.venv/.requirements
if [[ -f $requirements ]] && ! cmp -s "$requirements" "$stamp"; then
  rm -rf .venv
  /usr/bin/python3 -m venv .venv
  .venv/bin/pip install -q --disable-pip-version-check -r "$requirements"
  cp "$requirements" "$stamp"
fi
