#!/usr/bin/env bash
# Makes this clone ready to run: Python 3.12 in .venv with the locked packages, and the locked JavaScript clients that the
# tests drive. Does only what has not been done for the present lock files, so the usual run takes a few milliseconds.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

say() { printf 'bootstrap: %s\n' "$*"; }
fail() { printf '\n%s\n' "$*" >&2; exit 1; }

fingerprint() { cat "$@" | { sha256sum 2>/dev/null || shasum -a 256; } | cut -d' ' -f1; }
is_done() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }

is_python_312() { # also refuses pyenv's shim without a 3.12 behind it, and a Python without venv
  command -v "$1" >/dev/null 2>&1 && "$1" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info[:2] != (3, 12))' \
    >/dev/null 2>&1
}

find_python() {
  local candidate
  for candidate in python3.12 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.12*/bin/python3.12 \
    "$(command -v uv >/dev/null 2>&1 && uv python find 3.12 2>/dev/null || true)" python3; do
    if [ -n "$candidate" ] && is_python_312 "$candidate"; then
      printf '%s' "$candidate"
      return
    fi
  done
  return 1
}

install_python_packages() {
  local stamp=.venv/.presence-lock wanted python
  wanted=$(fingerprint requirements/dev.txt)
  if is_done "$stamp" "$wanted" && .venv/bin/python -c '' 2>/dev/null; then return; fi
  if ! is_python_312 .venv/bin/python; then
    python=$(find_python) || fail "Python 3.12 was not found: install it (pyenv install 3.12, or uv python install 3.12, or" \
      "your distribution's python3.12 with its venv package) and run this again."
    say "making .venv with $("$python" --version) ($python)"
    rm -rf .venv
    "$python" -m venv .venv
  fi
  say "installing the locked Python packages (about half a minute, once)"
  .venv/bin/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements/dev.txt ||
    fail "The Python packages could not be installed: see pip's message above; with a package index in reach, run this again."
  printf '%s\n' "$wanted" >"$stamp"
}

install_node() {
  if command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1; then return; fi
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    fail "Node.js with npm was not found: install it (Debian, Ubuntu: sudo apt-get install nodejs npm) and run this again."
  fi
  say "installing nodejs and npm (apt-get, once)"
  { apt-get -qq update || true; DEBIAN_FRONTEND=noninteractive apt-get -y -qq -o DPkg::Lock::Timeout=300 \
    -o Dpkg::Use-Pty=0 install --no-install-recommends nodejs npm; } >/dev/null ||
    fail "apt-get could not install nodejs and npm: repair apt, or install them by hand, and run this again."
}

install_javascript_packages() { # install_javascript_packages FOLDER
  local stamp=$1/node_modules/.presence-lock wanted
  wanted=$(fingerprint "$1/package.json" "$1/package-lock.json")
  if is_done "$stamp" "$wanted"; then return; fi
  install_node
  say "installing the locked JavaScript packages of $1 (npm ci)"
  npm ci --prefix "$1" --silent --no-progress ||
    fail "npm ci failed: see its message above; with a package registry in reach, run this again."
  printf '%s\n' "$wanted" >"$stamp"
}

install_python_packages
install_javascript_packages .
install_javascript_packages clients/js
