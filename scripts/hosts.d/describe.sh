#!/usr/bin/env bash
# What a cluster on several hosts is: its authority, its admin's token, its file, and a certificate
# for each node. Sourced by the scripts that make such clusters; `data_dir` and `binary` are theirs.
# All of it is made here, before any node runs: so the nodes start in any order, no secret has to
# be fetched from a host, and data_dir has what the command line needs to use the cluster.
# shellcheck disable=SC2154
set -euo pipefail

# Those of `faasm node` when none are named.
readonly http_port=7001 quic_port=7101

# at ADDRESS PORT: both as one word.
at() {
    case $1 in
    *:*) echo "[$1]:$2" ;;
    *) echo "$1:$2" ;;
    esac
}

# Where a node listens for clients, from its host's address.
http_of() {
    at "$1" $http_port
}

# What `faasm node` is started with besides --data-dir; CLUSTER stands for the cluster file.
node_arguments() {
    echo "--config CLUSTER --id $1"
}

# describe_cluster NAME ADDRESS…: makes, in data_dir, what is not there yet:
#
#   cluster.toml  admin.token  ca/  n1/certs/  n2/certs/ …
#
# What was made stays: the nodes of a cluster know each other by it.
describe_cluster() {
    local name=$1 node=0 address made=$data_dir/cluster.toml
    shift
    mkdir -p "$data_dir"
    chmod 0700 "$data_dir"
    [ -f "$made" ] || make_cluster "$name" "$@"
    for address in "$@"; do
        node=$((node + 1))
        if ! grep -qF "quic = \"$(at "$address" $quic_port)\"" "$made" ||
            ! grep -qF "http = \"$(http_of "$address")\"" "$made"; then
            fail "$data_dir is of a cluster without $address: the hosts of a cluster stay as they were;" \
                "add a node with \`faasm node --join\`, or take another folder for a new cluster"
        fi
        issue_certificate $node "$address"
    done
    [ "$(grep -c '^quic' "$made")" = $# ] ||
        fail "the cluster in $data_dir has more hosts than $#: take another folder for a new cluster"
}

# The file comes last: as long as it is missing, there is no cluster.
make_cluster() {
    local name=$1 node=0 address words made=$data_dir/cluster.toml
    shift
    rm -rf "$data_dir/ca"
    words=$("$binary" cert init --dir "$data_dir/ca" --json)
    mv "$data_dir/ca/admin.token" "$data_dir/admin.token"
    word() { sed -n "s/.*\"$1\": \"\([0-9a-f]*\)\".*/\1/p" <<<"$words"; }
    {
        printf 'name = "%s"\nid = "%s"\nadmin_token_hash = "%s"\n' \
            "$name" "$(word cluster)" "$(word admin_token_hash)"
        for address in "$@"; do
            node=$((node + 1))
            printf '\n[[nodes]]\nid = %s\nquic = "%s"\nhttp = "%s"\n' \
                $node "$(at "$address" $quic_port)" "$(http_of "$address")"
        done
    } >"$made.new"
    mv "$made.new" "$made"
}

issue_certificate() {
    local certs=$data_dir/n$1/certs
    [ ! -f "$certs/node-key.pem" ] || return 0
    "$binary" cert issue --dir "$data_dir/ca" --node "$1" --ip "$2" --out "$certs" >/dev/null
    # With it the nodes let others join, and rotate certificates. Whichever of the three that vote
    # at first leads first tells the others.
    [ "$1" -gt 3 ] || install -m 0600 "$data_dir/ca/ca-key.pem" "$certs/ca-key.pem"
}

# stage_node NODE DIR: what a host needs to become that node, but for the binary.
stage_node() {
    mkdir -p "$2/scripts/hosts.d" "$2/cluster" "$2/certs"
    cp "$repo/scripts/lib.sh" "$repo/scripts/provision" "$2/scripts/"
    cp "$repo/scripts/hosts.d/remote" "$2/scripts/hosts.d/"
    cp "$repo/cluster/node.service" "$data_dir/cluster.toml" "$2/cluster/"
    cp "$data_dir/n$1/certs/"*.pem "$2/certs/"
    # For clients on that host: what the node has in certs is from the day it was made.
    cp "$data_dir/ca/ca.pem" "$2/ca.pem"
    node_arguments "$1" >"$2/arguments"
}

# say_how FROM ADDRESS [COMMAND…]: how the cluster is used, from there, through any node or the one
# that has this address. The command is what has to go before.
say_how() {
    local from=$1 first=$2 from_there=${*:3}
    from_there+=${from_there:+ }
    printf '\nTo use it %s:\n  %s%q nodes --data-dir %q\n' "$from" "$from_there" "$binary" "$data_dir"
    printf 'or through one node, with nothing but the token and ca.pem:\n'
    # shellcheck disable=SC2016 # for the reader's shell
    printf '  export FAASM_CLUSTER=https://%s FAASM_CA=%q FAASM_TOKEN=$(cat %q)\n  %s%q nodes\n' \
        "$(http_of "$first")" "$data_dir/ca/ca.pem" "$data_dir/admin.token" "$from_there" "$binary"
}
