#!/usr/bin/env bash
# Provisions a virtual machine's staged folder twice, as on a machine of its own: in namespaces with
# the machine's address, whose system folders are copies that vanish with them. Stand-ins for what
# changes the kernel, and for systemd, which starts what the installed unit says as the unit's user.
#
# usage: provision.sh WORK FILES ADDRESS SHOW
#
#   WORK   a folder for this, with the machines' cluster in WORK/cluster
#   FILES  what the machine was given
#   SHOW   scripts/hosts.d/vagrant, as it is run when all machines are up
set -euo pipefail

work=$1 files=$2 address=$3 show=$4
if [ "${INSIDE:-}" != yes ]; then
    INSIDE=yes exec unshare --mount --net --propagation private "$0" "$@"
fi
ip link set lo up
ip addr add "$address/24" dev lo

mkdir -p "$work/layers" "$work/stubs"
mount -t tmpfs none "$work/layers"
for folder in etc usr/local var/lib; do
    mkdir -p "$work/layers/$folder/upper" "$work/layers/$folder/work"
    mount -t overlay overlay -o "lowerdir=/$folder,upperdir=$work/layers/$folder/upper,workdir=$work/layers/$folder/work" "/$folder"
done

cat >"$work/stubs/sysctl" <<'STUB'
#!/bin/sh
cat "$3" >>"$WORK/sysctl"
STUB
cat >"$work/stubs/systemctl" <<'STUB'
#!/bin/bash
echo "$*" >>"$WORK/systemctl"
unit=/etc/systemd/system/faasm.service
node() { cat "$WORK/pid" 2>/dev/null && kill -0 "$(cat "$WORK/pid")" 2>/dev/null; }
case $* in
*is-active*) node >/dev/null ;;
restart*)
    . <(sed 's/=\(.*\)/="\1"/' /etc/faasm/node.env)
    user=$(sed -n 's/^User=//p' $unit)
    start=$(sed -n 's/^ExecStart=//p' $unit)
    start=${start/\$FAASM_ARGUMENTS/$FAASM_ARGUMENTS}
    setsid setpriv --reuid "$user" --regid "$user" --clear-groups --bounding-set=-all --no-new-privs \
        $start </dev/null >>"$WORK/node.log" 2>&1 &
    echo $! >"$WORK/pid"
    ;;
esac
STUB
chmod +x "$work"/stubs/*
export WORK=$work PATH=$work/stubs:$PATH
export -n INSIDE

provision() {
    local arguments
    read -ra arguments < <(sed 's|CLUSTER|/etc/faasm/cluster.toml|' "$files/arguments")
    bash "$files/scripts/provision" --binary "$files/faasm" --certs "$files/certs" \
        --cluster "$files/cluster/cluster.toml" -- "${arguments[@]}"
}
provision
echo "then again" >>"$work/systemctl"
provision
stat -c '%U %a %n' /var/lib/faasm /var/lib/faasm/certs/node-key.pem /usr/local/bin/faasm
FAASM_BINARY=/usr/local/bin/faasm "$show" show 1 "$work/cluster"
kill "$(cat "$work/pid")"
while kill -0 "$(cat "$work/pid")" 2>/dev/null; do sleep 0.05; done
