#!/usr/bin/env bash
# What the scripts share. Sourced, never run.
set -euo pipefail

repo=$(cd -P "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
readonly repo
# shellcheck disable=SC2034 # used by the scripts
readonly faasm_cache="${FAASM_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/faasm}"
# One profile for the tests and the demo, so that dependencies are built once.
# shellcheck disable=SC2034 # used by the scripts
readonly faasm="${CARGO_TARGET_DIR:-$repo/target}/debug/faasm"

# A line that says what happens now.
say() {
    printf '\n==> %s\n' "$*"
}

fail() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

has() {
    command -v "$1" >/dev/null 2>&1
}

# rustup puts cargo where a shell that was open before does not look.
if ! has cargo && [ -x "${HOME:-}/.cargo/bin/cargo" ]; then
    PATH=$HOME/.cargo/bin:$PATH
fi

# Runs something as root: directly, or with sudo.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif has sudo; then
        sudo "$@"
    else
        fail "this needs root, and there is no sudo: $*"
    fi
}

# The comment on top of the running script is its help.
usage() {
    sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$0"
}

build() {
    say "Building (the first time takes some minutes)"
    # With the tests: what they need changes features of dependencies, which were else built twice.
    (cd "$repo" && cargo build --workspace --all-targets --locked)
}
