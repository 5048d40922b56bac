# shellcheck shell=bash
# A Debian machine in a folder, for the tests of the package: made by debootstrap, entered and booted by systemd-nspawn.
# It has no network unless it is asked for. Sourced by what sets $machine, a folder.

: "${machine:?}"
group=push-exporter-test-$$
booted=
nspawn=(systemd-nspawn --quiet --register=no --link-journal=no --resolv-conf=copy-host --directory="$machine"
    --setenv=DEBIAN_FRONTEND=noninteractive)
[ -d /run/systemd/system ] || nspawn+=(--keep-unit)

# Where no systemd runs, systemd-nspawn needs a control group that it may have for itself.
in_own_group() {
    local hierarchy
    for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/{systemd,unified,memory,pids}; do
        if [ -d /run/systemd/system ] || [ ! -e "$hierarchy/cgroup.procs" ]; then continue; fi
        mkdir -p "$hierarchy/$group"
        echo "$BASHPID" >"$hierarchy/$group/cgroup.procs"
    done
    exec "$@"
}

make_machine() {
    debootstrap --variant=minbase bookworm "$machine" >"$machine.log" 2>&1 ||
        { tail -20 "$machine.log"; echo "debootstrap failed"; return 1; }
    # As every Debian has it, but for one of debootstrap.
    printf '127.0.0.1\tlocalhost\n::1\tlocalhost\n' >"$machine/etc/hosts"
}

# A command in the machine while it is not booted; with the network, for apt-get.
with_network() { (in_own_group "${nspawn[@]}" --pipe -- "$@"); }
# And without it.
inside() { (in_own_group "${nspawn[@]}" --pipe --private-network -- "$@"); }

install_debian() {
    with_network sh -c 'apt-get update && apt-get install --yes --no-install-recommends "$@"' - "$@" >"$machine.log" 2>&1 </dev/null ||
        { tail -20 "$machine.log"; echo "cannot install $*"; return 1; }
}

# Boots it and waits for it.
boot() {
    (in_own_group "${nspawn[@]}" --private-network --boot) </dev/null >"$machine.boot.log" 2>&1 &
    booted=$!
    local _
    for _ in $(seq 100); do
        leader=$(pgrep -P "$booted" | head -1 || true)
        if [ -n "$leader" ] && booted_inside test -S /run/systemd/private 2>/dev/null; then
            booted_inside systemctl is-system-running --wait >/dev/null || booted_inside systemctl --no-pager --failed
            return
        fi
        sleep 0.1
    done
    tail -20 "$machine.boot.log"
    echo "the machine does not boot"
    return 1
}

# A command in the booted machine.
booted_inside() {
    nsenter --target "$leader" --all --root --wd env -i HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

halt_machine() {
    [ -n "$booted" ] || return 0
    kill -9 "$leader" 2>/dev/null || true
    wait "$booted" 2>/dev/null || true
    booted=
}

# For a trap. Nothing of the machine is left.
delete_machine() {
    halt_machine
    local hierarchy
    for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/*; do
        [ ! -d "$hierarchy/$group" ] || find "$hierarchy/$group" -depth -type d -exec rmdir {} \; 2>/dev/null || true
    done
    rm -rf "$machine"
}
