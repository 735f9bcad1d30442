#!/usr/bin/env bash
# What a cluster on several hosts is: its authority, its file, and a certificate for each node.
# Sourced by the scripts that make such clusters; `data_dir` and `binary` are theirs.
# shellcheck disable=SC2154
set -euo pipefail

readonly quic_port=7100

# Where a node listens for clients, from its number and its host's address.
http_of() {
    echo "127.0.0.1:$((7000 + $1))"
}

# Where it listens for other nodes.
quic_of() {
    case $2 in
    *:*) echo "[$2]:$quic_port" ;;
    *) echo "$2:$quic_port" ;;
    esac
}

# What `faasm node` is started with besides --data-dir; CLUSTER stands for the cluster file.
node_arguments() {
    echo "--config CLUSTER --id $1"
}

# describe_cluster NAME ADDRESS…: makes, in data_dir, what is not there yet:
#
#   cluster.toml  ca/  n1/certs/  n2/certs/ …
#
# What was made stays: the nodes of a cluster know each other by it.
describe_cluster() {
    local name=$1 id node=0 address made=$data_dir/cluster.toml
    shift
    mkdir -p "$data_dir"
    chmod 0700 "$data_dir"
    if [ ! -f "$made" ]; then
        rm -rf "$data_dir/ca"
        id=$("$binary" cert init --dir "$data_dir/ca" --json |
            sed -n 's/.*"cluster": "\([0-9a-f]*\)".*/\1/p')
        {
            printf 'name = "%s"\nid = "%s"\n' "$name" "$id"
            for address in "$@"; do
                node=$((node + 1))
                printf '\n[[nodes]]\nid = %s\nquic = "%s"\nhttp = "%s"\n' \
                    $node "$(quic_of $node "$address")" "$(http_of $node "$address")"
            done
        } >"$made.new"
        mv "$made.new" "$made"
    fi
    node=0
    for address in "$@"; do
        node=$((node + 1))
        grep -qF "quic = \"$(quic_of $node "$address")\"" "$made" ||
            fail "$data_dir is of a cluster without $address: the hosts of a cluster stay as they" \
                "were; take another folder for a new cluster"
        [ -f "$data_dir/n$node/certs/node-key.pem" ] ||
            "$binary" cert issue --dir "$data_dir/ca" --node $node --ip "$address" \
                --out "$data_dir/n$node/certs" >/dev/null
        # With it the nodes let others join, and rotate certificates.
        install -m 0600 "$data_dir/ca/ca-key.pem" "$data_dir/n$node/certs/ca-key.pem"
    done
    [ "$(grep -c '^quic' "$made")" = $# ] ||
        fail "the cluster in $data_dir has more hosts than $#: take another folder for a new cluster"
}

# stage_node NODE DIR: what a host needs to become that node, but for the binary.
stage_node() {
    mkdir -p "$2/scripts/hosts.d" "$2/cluster" "$2/certs"
    cp "$repo/scripts/lib.sh" "$repo/scripts/provision" "$2/scripts/"
    cp "$repo/scripts/hosts.d/remote" "$2/scripts/hosts.d/"
    cp "$repo/cluster/node.service" "$data_dir/cluster.toml" "$2/cluster/"
    cp "$data_dir/n$1/certs/"*.pem "$2/certs/"
    node_arguments "$1" >"$2/arguments"
    http_of "$1" "" >"$2/http"
}
