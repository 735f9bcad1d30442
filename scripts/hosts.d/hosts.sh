#!/usr/bin/env bash
# A cluster on hosts that ssh reaches. Sourced by scripts/up and scripts/down.
# shellcheck disable=SC2154 # repo: of lib.sh
set -euo pipefail

# A new cluster is ready within seconds; this is for slow networks and busy machines.
readonly ready_seconds=60
# The most nodes that a cluster file may have.
readonly most_hosts=256

file='' data_dir='' binary=''
# By node, from 1; index 0 is not used.
destinations=('') ports=('') addresses=('') directories=('')

parse_options() {
    while [ $# -gt 0 ]; do
        case $1 in
        --hosts | --data-dir | --binary)
            [ -n "${2:-}" ] || fail "$1 needs a value; see --help"
            case $1 in
            --hosts) file=$2 ;;
            --data-dir) data_dir=$2 ;;
            --binary) binary=$2 ;;
            esac
            shift
            ;;
        *) fail "unknown option $1; with --hosts there are --data-dir and --binary, see --help" ;;
        esac
        shift
    done
    [ -f "$file" ] || fail "there is no file $file: write one as in cluster/hosts.example"
    local name=${file##*/}
    : "${data_dir:=${XDG_DATA_HOME:-$HOME/.local/share}/faasm-hosts/${name%.*}}"
}

bad_line() {
    fail "$file, line $1: $2; see cluster/hosts.example"
}

read_hosts() {
    local number=0 destination port address directory more
    while read -r destination port address directory more || [ -n "$destination" ]; do
        number=$((number + 1))
        case $destination in '' | '#'*) continue ;; esac
        [ -z "$more" ] || bad_line $number "more than four words"
        case $destination in -* | *[!A-Za-z0-9._@:-]*) bad_line $number "no destination: $destination" ;; esac
        if [ "${port:--}" = - ]; then port=''; fi
        case $port in *[!0-9]* | ??????*) bad_line $number "no port: $port" ;; esac
        if [ "${address:--}" = - ]; then address=$(address_of "${destination##*@}"); fi
        case $address in
        '') bad_line $number "${destination##*@} has no address that this machine knows: name it" ;;
        *[!0-9a-fA-F.:]*) bad_line $number "no address: $address" ;;
        esac
        if [ "${directory:--}" = - ]; then directory=''; fi
        case $directory in '') ;; *[!A-Za-z0-9._/-]* | [!/]*) bad_line $number "no absolute path: $directory" ;; esac
        destinations+=("$destination") ports+=("$port") addresses+=("$address") directories+=("$directory")
    done <"$file"
    [ ${#destinations[@]} -gt 1 ] || fail "$file names no host"
    [ ${#destinations[@]} -le $((most_hosts + 1)) ] || fail "$file names more than $most_hosts hosts"
}

address_of() {
    getent ahosts "$1" | awk '{ print $1; exit }' || true
}

nodes() {
    seq 1 $((${#destinations[@]} - 1))
}

# Runs a command on a node's host. Words are for its shell.
on_host() {
    local node=$1 options=(-o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=5)
    [ -z "${ports[node]}" ] || options+=(-p "${ports[node]}")
    # shellcheck disable=SC2086 # a command with options
    ${FAASM_SSH:-ssh} "${options[@]}" "${destinations[node]}" "${@:2}"
}

# Runs what scripts/hosts.d/remote knows, of which the host got a copy by `install_files`.
remote() {
    on_host "$1" "sh ${places[$1]}/scripts/hosts.d/remote $2 ${directories[$1]:--}"
}

# Where each host keeps what it is sent.
places=('')
find_places() {
    local node
    for node in $(nodes); do
        if [ -n "${directories[node]}" ]; then
            places+=("${directories[node]}/files")
        else
            # shellcheck disable=SC2016 # the host's own home
            places+=("$(on_host "$node" 'echo "$HOME/.local/share/faasm-node/files"' </dev/null)") ||
                fail "n$node: ssh does not get to ${destinations[node]}"
        fi
    done
}

hosts_up() {
    local node
    if [ -z "$binary" ]; then
        say "Building (in release)"
        (cd "$repo" && cargo build --workspace --release --locked)
        binary=${CARGO_TARGET_DIR:-$repo/target}/release/faasm
    fi
    [ -x "$binary" ] || fail "there is no binary $binary"
    describe_cluster
    find_places
    # All first get their files, so that a host that cannot be reached stops this before a node does.
    for node in $(nodes); do install_files "$node"; done
    for node in $(nodes); do
        remote "$node" start </dev/null || fail "n$node does not start on ${destinations[node]}; above is why"
    done
    wait_until_ready
}

# Makes the authority, the cluster file and each node's certificate, once. What was made stays:
# a cluster's nodes know each other by it.
describe_cluster() {
    local id node address made=$data_dir/cluster.toml
    mkdir -p "$data_dir"
    chmod 0700 "$data_dir"
    if [ ! -f "$made" ]; then
        rm -rf "$data_dir/ca"
        id=$("$binary" cert init --dir "$data_dir/ca" --json | sed -n 's/.*"cluster": "\([0-9a-f]*\)".*/\1/p')
        {
            printf 'name = "hosts"\nid = "%s"\n' "$id"
            for node in $(nodes); do
                printf '\n[[nodes]]\nid = %s\nquic = "%s"\nhttp = "127.0.0.1:%s"\n' \
                    "$node" "$(quic_address "$node")" "$(http_port "$node")"
            done
        } >"$made.new"
        mv "$made.new" "$made"
    fi
    for node in $(nodes); do
        grep -qF "quic = \"$(quic_address "$node")\"" "$made" ||
            fail "$data_dir is of a cluster without ${addresses[node]}: the hosts of a cluster stay" \
                "as they were; name another --data-dir for a new cluster"
        address=${addresses[node]}
        [ -f "$data_dir/n$node/node-key.pem" ] ||
            "$binary" cert issue --dir "$data_dir/ca" --node "$node" --ip "$address" \
                --out "$data_dir/n$node" >/dev/null
    done
    [ "$(grep -c '^quic' "$made")" = "$(nodes | wc -l)" ] ||
        fail "$file has fewer hosts than the cluster in $data_dir: name another --data-dir for a new one"
}

quic_address() {
    case ${addresses[$1]} in
    *:*) echo "[${addresses[$1]}]:7100" ;;
    *) echo "${addresses[$1]}:7100" ;;
    esac
}

http_port() {
    echo $((7000 + $1))
}

# What `faasm node` is started with on a host, but for --data-dir.
node_arguments() {
    echo "--config CLUSTER --id $1"
}

# Sends what a host lacks or has otherwise.
install_files() {
    local node=$1 stage place=${places[$1]}
    stage=$(mktemp -d)
    mkdir -p "$stage/scripts/hosts.d" "$stage/cluster" "$stage/certs"
    cp "$repo/scripts/lib.sh" "$repo/scripts/provision" "$stage/scripts/"
    cp "$repo/scripts/hosts.d/remote" "$stage/scripts/hosts.d/"
    cp "$repo/cluster/node.service" "$stage/cluster/"
    cp "$data_dir/cluster.toml" "$stage/cluster/cluster.toml"
    cp "$data_dir/n$node/"*.pem "$stage/certs/"
    node_arguments "$node" >"$stage/arguments"
    http_port "$node" >"$stage/http-port"
    tar -C "$stage" -c . | on_host "$node" \
        "umask 077; mkdir -p $place && rm -rf $place/certs && tar -x --no-same-owner -C $place" ||
        fail "n$node: ${destinations[node]} does not take files"
    rm -rf "$stage"
    local ours
    ours=$(sha256sum <"$binary")
    if [ "$(on_host "$node" "sha256sum <$place/faasm 2>/dev/null" </dev/null || true)" = "$ours" ]; then
        return
    fi
    gzip --fast <"$binary" | on_host "$node" "gzip -d >$place/faasm.new &&
        chmod 0755 $place/faasm.new && mv $place/faasm.new $place/faasm" ||
        fail "n$node: ${destinations[node]} does not take the binary"
}

# Until all nodes have a session; shows them.
wait_until_ready() {
    local until=$((SECONDS + ready_seconds)) ready=0 wanted
    wanted=$(nodes | wc -l)
    while [ "$ready" != "$wanted" ]; do
        ready=$(remote 1 nodes-json </dev/null 2>/dev/null | grep -c '"session": "' || true)
        if [ $SECONDS -gt $until ]; then
            remote 1 nodes </dev/null || true
            fail "only $ready of $wanted nodes are ready after $ready_seconds s; \`remote log\` is on the hosts"
        fi
        sleep 0.2
    done
    remote 1 nodes </dev/null
}

hosts_down() {
    local node failed=0
    find_places
    for node in $(nodes); do
        remote "$node" stop </dev/null || failed=1
    done
    [ $failed = 0 ] || fail "not all nodes are down; above is why"
}
