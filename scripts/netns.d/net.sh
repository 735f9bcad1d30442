#!/usr/bin/env bash
# Namespaces, the bridge between them, and cuts. Sourced by scripts/netns, whose variables it uses.
# shellcheck disable=SC2154 # prefix, hosts: of scripts/netns
set -euo pipefail

# No card has it: the bridge floods what is sent to it, and every host ignores it.
readonly nobody=02:00:00:00:00:ff

# Host 0 is the switch.
namespace() {
    if [ "$1" = 0 ]; then echo "${prefix}sw"; else echo "${prefix}n$1"; fi
}

address() {
    echo "10.77.0.$1"
}

# All namespaces with our prefix, whichever run made them.
our_namespaces() {
    ip netns list 2>/dev/null | awk -v prefix="$prefix" '
        index($1, prefix) == 1 && substr($1, length(prefix) + 1) ~ /^(sw|n[0-9]+)$/ { print $1 }'
}

make_network() {
    local switch host name
    switch=$(namespace 0)
    ip netns add "$switch" ||
        fail "this machine allows no network namespaces: a container needs CAP_SYS_ADMIN and" \
            "CAP_NET_ADMIN for them"
    ip -n "$switch" link add bridge type bridge || fail "this kernel makes no bridge"
    ip -n "$switch" link set lo up
    ip -n "$switch" addr add "$(address 254)/24" dev bridge
    ip -n "$switch" link set bridge up
    for ((host = 1; host <= hosts; host++)); do
        name=$(namespace $host)
        ip netns add "$name"
        ip link add "port$host" netns "$switch" type veth peer name eth0 netns "$name" ||
            fail "this kernel makes no veth pairs"
        ip -n "$switch" link set "port$host" master bridge up
        ip -n "$name" addr add "$(address $host)/24" dev eth0
        ip -n "$name" link set lo up
        ip -n "$name" link set eth0 up
    done
}

# The name of this machine's cable to the switch; names of links have at most 15 characters.
cable() {
    echo "${prefix:0:11}host"
}

# Gives this machine an address among the hosts, so that clients on it reach the nodes. Not if it has
# a way to such addresses already: another cluster of namespaces, or a network of its own. Says why it
# did not.
attach_machine() {
    local cable net problem
    cable=$(cable) net=$(address 0)/24
    if [ -n "$(ip -4 route show root "$net")" ] || ip -4 route show match "$net" | grep -qv '^default'; then
        problem="this machine has a way to $net already"
    elif ! problem=$(lay_cable "$cable" 2>&1); then
        ip link delete "$cable" 2>/dev/null || true
        problem="this machine gets no address in $net ($problem)"
    else
        return 0
    fi
    echo "$problem: the hosts are reached by \`exec\` only" >&2
    return 1
}

lay_cable() {
    ip link add "$1" type veth peer name machine netns "$(namespace 0)" &&
        ip -n "$(namespace 0)" link set machine master bridge up &&
        ip addr add "$(address 253)/24" dev "$1" &&
        ip link set "$1" up
}

# Ends every process in our namespaces, then the namespaces; the veth pairs go with them.
remove_network() {
    local name pids
    ip link delete "$(cable)" 2>/dev/null || true
    for name in $(our_namespaces); do
        for _ in {1..100}; do
            pids=$(ip netns pids "$name")
            [ -n "$pids" ] || break
            # shellcheck disable=SC2086 # a list
            kill -9 $pids 2>/dev/null || true
            sleep 0.02
        done
        ip netns delete "$name"
    done
}

# Whether all of this is possible here, by doing it.
check_network() {
    local problem
    prefix=${prefix:-faasm-}try$$- hosts=1
    if ! problem=$(make_network 2>&1); then
        remove_network
        fail "namespaces cannot be made here: $problem"
    fi
    remove_network
    echo "hosts can be made on this machine"
}

# The bridge's side of a host's cable.
set_link() {
    ip -n "$(namespace 0)" link set "port$1" "$2"
}

# What host $1 sends to host $2 goes astray at the bridge; the other way is as it was.
drop_packets() {
    ip -n "$(namespace "$1")" neigh replace "$(address "$2")" lladdr $nobody nud permanent dev eth0
}

# What host $1 sends passes again, to host $2 or to all.
pass_packets() {
    local name to
    name=$(namespace "$1")
    for to in $(dropped_from "$1"); do
        if [ $# = 1 ] || [ "$to" = "$2" ]; then
            ip -n "$name" neigh delete "$(address "$to")" dev eth0
        fi
    done
}

# The hosts that packets of host $1 do not reach.
dropped_from() {
    ip -n "$(namespace "$1")" neigh show nud permanent dev eth0 |
        awk -v nobody=$nobody '$0 ~ nobody { sub(/.*\./, "", $1); print $1 }'
}

# For people.
cuts_of() {
    local cuts to
    cuts=$(for to in $(dropped_from "$1"); do printf 'to %s, ' "$to"; done)
    if ip -n "$(namespace 0)" -o link show "port$1" | grep -q 'state DOWN'; then cuts+='link down, '; fi
    echo "${cuts%, }"
}
