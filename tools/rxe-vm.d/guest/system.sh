# What an init system would have done: mounts, hugepages, limits, host name.
# shellcheck shell=bash

system_up() {
    mkdir -p /dev/shm /dev/pts /dev/hugepages /run/lock
    mount -t tmpfs shm /dev/shm
    mount -t devpts devpts /dev/pts
    mount -t tmpfs nfs /var/lib/nfs
    [[ -e /dev/fd ]] || ln -s /proc/self/fd /dev/fd
    [[ -e /dev/stdin ]] || { ln -s fd/0 /dev/stdin; ln -s fd/1 /dev/stdout; ln -s fd/2 /dev/stderr; }
    hostname "rxe-$role"
    printf '127.0.0.1 localhost\n%s rxe-one rxe-server\n%s rxe-client\n' \
        "$server_addr" "$client_addr" >/etc/hosts
    # Names are those of /etc/hosts; no resolver is there to wait for.
    printf 'hosts: files\npasswd: files\ngroup: files\n' >/etc/nsswitch.conf
    ulimit -l unlimited
    ulimit -n 65536
    reserve_hugepages
}

reserve_hugepages() {
    local got
    echo "$hugepages" >/proc/sys/vm/nr_hugepages
    got=$(</proc/sys/vm/nr_hugepages)
    ((got == hugepages)) || fail "the guest reserved $got of $hugepages hugepages; give it more --memory"
    mount -t hugetlbfs hugetlbfs /dev/hugepages
}

# Emulated machines boot on one CPU: see accel.sh on the host's side.
wake_cpus() {
    local switch
    for switch in /sys/devices/system/cpu/cpu[0-9]*/online; do
        # A single CPU has none.
        [[ ! -e $switch || $(<"$switch") == 1 ]] || echo 1 >"$switch"
    done
}
