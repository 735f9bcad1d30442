#!/usr/bin/env bash
# A cluster on hosts that ssh reaches. Sourced by scripts/up and scripts/down.
# shellcheck disable=SC2154 # repo: of lib.sh
set -euo pipefail
source "$repo/scripts/hosts.d/describe.sh"

# A new cluster is ready within seconds; this is for slow networks and busy machines.
readonly ready_seconds=60
# The most nodes that a cluster file may have.
readonly most_hosts=256

file='' data_dir='' binary='' ours=''
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
    on_host "$1" "sh ${places[$1]}/scripts/hosts.d/remote ${directories[$1]:--} ${*:2}"
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
    describe_cluster hosts "${addresses[@]:1}"
    find_places
    # All first get their files, so that a host that cannot be reached stops this before a node does.
    ours=$(sha256sum <"$binary")
    local jobs=() job
    for node in $(nodes); do
        install_files "$node" &
        jobs+=($!)
    done
    for job in "${jobs[@]}"; do wait "$job" || fail "not every host has its files; above is why"; done
    for node in $(nodes); do
        remote "$node" start </dev/null || fail "n$node does not start on ${destinations[node]}; above is why"
    done
    wait_until_ready
}

# Sends what a host lacks or has otherwise.
install_files() {
    local node=$1 stage place=${places[$1]}
    stage=$(mktemp -d)
    stage_node "$node" "$stage"
    tar -C "$stage" -c . | on_host "$node" \
        "umask 077; mkdir -p $place && rm -rf $place/certs && tar -x --no-same-owner -C $place" ||
        fail "n$node: ${destinations[node]} does not take files"
    rm -rf "$stage"
    if [ "$(on_host "$node" "test ! -f $place/faasm || sha256sum <$place/faasm" </dev/null)" = "$ours" ]; then
        return
    fi
    gzip --fast <"$binary" | on_host "$node" "gzip -d >$place/faasm.new &&
        chmod 0755 $place/faasm.new && mv $place/faasm.new $place/faasm" ||
        fail "n$node: ${destinations[node]} does not take the binary"
}

# The nodes as the first one sees them. From here, as any client, or where the hosts' addresses
# cannot be reached from here, from its host; the token goes there by stdin, where nobody sees it.
nodes_shown() {
    local first
    first=https://$(http_of "${addresses[1]}")
    if [ "$reached" != no ] && FAASM_TOKEN=$(cat "$data_dir/admin.token") "$binary" nodes "$@" \
        --cluster "$first" --ca "$data_dir/ca/ca.pem"; then
        reached=yes
        return
    fi
    [ "$reached" != yes ] || return 1
    remote 1 nodes "'$first'" "$@" <"$data_dir/admin.token" || return 1
    reached=no
}

# Until all nodes have a session; shows them, and how clients get in.
wait_until_ready() {
    local until=$((SECONDS + ready_seconds)) ready=0 wanted reached='' shown=$data_dir/nodes.json
    wanted=$(nodes | wc -l)
    while [ "$ready" != "$wanted" ]; do
        nodes_shown --json >"$shown" 2>"$shown.errors" || true
        ready=$(grep -c '"session": "' "$shown" || true)
        if [ $SECONDS -gt $until ]; then
            cat "$shown.errors" >&2
            fail "only $ready of $wanted nodes are ready after $ready_seconds s: the reason is in the" \
                "logs on the hosts (node.log, or journalctl -u faasm)"
        fi
        sleep 0.2
    done
    rm -f "$shown" "$shown.errors"
    # Again from here, for one that was just not up yet.
    reached=''
    nodes_shown
    if [ "$reached" = yes ]; then
        say_how "from this machine" "${addresses[1]}"
    else
        printf '\nThis machine does not reach %s, where the nodes serve clients; on machines that' "${addresses[1]}"
        printf ' do, it is used with\ncopies of %s:\n' "$data_dir/{cluster.toml,admin.token,ca/ca.pem}"
        printf '  faasm nodes --data-dir FOLDER-WITH-THE-COPIES\n'
    fi
}

hosts_down() {
    local node failed=0
    find_places
    for node in $(nodes); do
        remote "$node" stop </dev/null || failed=1
    done
    [ $failed = 0 ] || fail "not all nodes are down; above is why"
}
