#!/usr/bin/env bash
# The node of a host: its start, its signals, its state. Sourced by scripts/netns, whose variables
# it uses.
# shellcheck disable=SC2154 # dir, prefix, hosts, binary, options: of scripts/netns
set -euo pipefail
source "$repo/scripts/hosts.d/describe.sh"

# A start takes a second; this is for machines that are very busy.
readonly ready_seconds=60

# Starts the node of a host, and returns before it is ready.
start_node() {
    local data=$dir/n$1
    local arguments
    read -ra arguments <<<"$(node_arguments "$1")"
    local start=("$binary" node --data-dir "$data" "${arguments[@]/#CLUSTER/$dir/cluster.toml}")
    [ -z "$options" ] || start+=(--options "$options")
    # Both replace themselves by what they run: the pid is the node's.
    ip netns exec "$(namespace "$1")" setsid "${start[@]}" </dev/null >>"$data/node.log" 2>&1 &
    echo $! >"$data/netns.pid"
}

node_pid() {
    cat "$dir/n$1/netns.pid"
}

# `running`, `paused` or `dead`; `none` on a bare host.
node_state() {
    local pid state
    if [ ! -f "$dir/n$1/netns.pid" ]; then
        echo none
        return
    fi
    pid=$(node_pid "$1")
    # A number that another process got since is not the node.
    if ! grep -qsF "$dir/n$1" "/proc/$pid/cmdline"; then
        echo dead
        return
    fi
    state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$pid/status" 2>/dev/null || true)
    case $state in
    T) echo paused ;;
    Z | X | '') echo dead ;;
    *) echo running ;;
    esac
}

signal_node() {
    [ "$(node_state "$1")" != dead ] || fail "the node of host $1 is dead: scripts/netns start $1"
    kill -"$2" "$(node_pid "$1")"
}

# Returns when it is gone, so that it can be started again at once.
kill_node() {
    signal_node "$1" KILL
    while [ "$(node_state "$1")" != dead ]; do sleep 0.01; done
}

# What the node's /readyz says. Whoever answers is taken for the node, since nothing secret is sent:
# the authority that it shows may have been replaced since this cluster was made.
is_ready() {
    ip netns exec "$(namespace "$1")" curl --silent --fail --noproxy '*' --max-time 2 --insecure \
        --output /dev/null "https://$(http_of "$(address "$1")")/readyz"
}

# Fails, with the end of the log, when a node dies or takes too long.
wait_until_ready() {
    local host from=$SECONDS
    for ((host = 1; host <= hosts; host++)); do
        until is_ready $host; do
            if [ "$(node_state $host)" = dead ] || [ $((SECONDS - from)) -gt $ready_seconds ]; then
                tail -n 15 "$dir/n$host/node.log" >&2
                fail "the node of host $host is $(node_state $host), not ready, after" \
                    "$((SECONDS - from)) s;" \
                    "above is the end of its log"
            fi
            sleep 0.05
        done
    done
}
