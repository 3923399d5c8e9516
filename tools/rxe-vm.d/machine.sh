# Starting, watching and ending machines. Every process started here ends with
# this script, however that ends: traps for the common ways, the kernel's
# parent-death signal for SIGKILL, timeout(1) for a guest that never finishes.
# shellcheck shell=bash

machines=()

prepare() {
    "$tools/deps" vm || exit 125
    prepare_kernel
    prepare_initramfs
    prepare_accel
    mkdir -p "$out"
    out=$(readlink -f "$out")
    run_dir=$(mktemp -d "${TMPDIR:-/tmp}/rxe-vm.XXXXXX")
    trap 'end_machines' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
}

end_machines() {
    local pid
    for pid in "${machines[@]}"; do
        kill "$pid" 2>/dev/null || true
    done
    wait
    rm -rf "$run_dir"
}

machine_args() { # DIRECTORY
    qemu=(qemu-system-x86_64 "${accel_args[@]}" -smp "$cpus" -m "$memory"
        -nodefaults -no-user-config -display none -no-reboot
        -kernel "$kernel_dir/vmlinuz" -initrd "$initramfs"
        -append "console=ttyS0 panic=-1 mitigations=off tsc=reliable quiet"
        -fsdev "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap"
        -device virtio-9p-pci,fsdev=root,mount_tag=root
        -fsdev "local,id=job,path=$1,security_model=none"
        -device virtio-9p-pci,fsdev=job,mount_tag=job
        -fsdev "local,id=out,path=$out,security_model=none"
        -device virtio-9p-pci,fsdev=out,mount_tag=out
        -device virtio-serial-pci
        -chardev "file,id=stdout,path=$1/stdout" -device virtserialport,chardev=stdout,name=stdout
        -chardev "file,id=stderr,path=$1/stderr" -device virtserialport,chardev=stderr,name=stderr
        -object rng-random,id=rng,filename=/dev/urandom -device virtio-rng-pci,rng=rng)
}

start_machine() { # DIRECTORY [QEMU ARGUMENT...]; sets machine
    local dir=$1
    shift
    machine_args "$dir"
    setpriv --pdeathsig TERM timeout -k 5 "$time_limit" \
        setpriv --pdeathsig KILL "${qemu[@]}" -serial "file:$dir/console" "$@" \
        </dev/null >"$dir/qemu" 2>&1 &
    machine=$!
    machines+=("$machine")
}

# Regular files and tail, not pipes: a slow reader never stalls the guest, and
# what was written last is there even if the guest is killed.
follow() { # MACHINE FILE
    tail -q -s 0.1 -c +1 --pid="$1" -f "$2" 2>/dev/null
}

# Waits for the guest, then tells its job's status, or what went wrong instead.
finish_machine() { # MACHINE DIRECTORY
    local status=0
    wait "$1" || status=$?
    if [[ -f $2/dmesg ]]; then
        cp "$2/dmesg" "$out/guest-dmesg.log"
        say "the guest's kernel complained: see $out/guest-dmesg.log"
    fi
    if [[ -f $2/status ]]; then
        return "$(<"$2/status")"
    elif ((status == 124 || status == 137)); then
        say "time limit of $time_limit s reached ($(progress "$2")); the machine is stopped"
        return 124
    elif [[ -f $2/failure ]]; then
        say "$(<"$2/failure")"
    else
        say "the machine ended without a result ($(progress "$2")); its last words:"
        tail -n 30 "$2/qemu" "$2/console" >&2
    fi
    return 125
}

progress() { # DIRECTORY
    if [[ -f $1/ready ]]; then echo "the command was running"; else echo "it was still booting"; fi
}

announce() { # DIRECTORY MACHINE
    while kill -0 "$2" 2>/dev/null; do
        if [[ -s $1/ready ]]; then
            say "Linux $kernel_release ($accel) up in $(<"$1/ready") s: rxe0, knfsd, $hugepages hugepages"
            return
        fi
        sleep 0.3
    done
}

run_one() {
    local dir=$run_dir/one status=0
    make_job "$dir" one 0 "${command[@]}"
    start_machine "$dir"
    announce "$dir" "$machine" &
    follow "$machine" "$dir/stdout" &
    follow "$machine" "$dir/stderr" >&2 &
    ((!verbose)) || follow "$machine" "$dir/console" >&2 &
    finish_machine "$machine" "$dir" || status=$?
    wait
    exit "$status"
}

run_shell() {
    local dir=$run_dir/shell status=0
    [[ -t 0 ]] || bad_usage "shell wants a terminal; use run"
    make_job "$dir" one 1
    write_terminal "$dir"
    machine_args "$dir"
    say "leave with exit; if the guest hangs: Ctrl-A X"
    timeout --foreground -k 5 "$time_limit" setpriv --pdeathsig KILL "${qemu[@]}" \
        -chardev stdio,id=terminal,mux=on,signal=off -serial chardev:terminal \
        -mon chardev=terminal || status=$?
    [[ ! -f $dir/status ]] || status=$(<"$dir/status")
    exit "$status"
}

run_two() {
    local server=$run_dir/server client=$run_dir/client status=0 server_machine
    make_job "$server" server 0 bash -c "$(server_job)"
    make_job "$client" client 0 bash -c "$client_command"
    two_link server client 01
    start_machine "$server" "${link[@]}"
    server_machine=$machine
    two_link client server 02
    start_machine "$client" "${link[@]}"
    announce "$client" "$machine" &
    follow "$machine" "$client/stdout" &
    follow "$machine" "$client/stderr" >&2 &
    follow "$server_machine" "$server/stdout" | sed -u 's/^/server: /' >&2 &
    follow "$server_machine" "$server/stderr" | sed -u 's/^/server: /' >&2 &
    ((!verbose)) || follow "$machine" "$client/console" >&2 &
    ((!verbose)) || follow "$server_machine" "$server/console" | sed -u 's/^/server: /' >&2 &
    if server_started "$server_machine" "$server"; then
        : >"$client/go"
        finish_machine "$machine" "$client" || status=$?
        kill "$server_machine" 2>/dev/null || say "the server had ended before the client"
    else
        say "the server ended before the client could start"
        finish_machine "$server_machine" "$server" || say "status $?"
        kill "$machine" 2>/dev/null || true
        status=125
    fi
    wait
    exit "$status"
}

# The server's command comes first and to its end, so that the client finds what
# it left in the background.
server_job() {
    printf '{\n%s\n} || exit\n: >/run/rxe-vm/started\nexec sleep infinity' "${server_command:-:}"
}

server_started() { # MACHINE DIRECTORY
    while kill -0 "$1" 2>/dev/null; do
        [[ ! -e $2/started ]] || return 0
        sleep 0.2
    done
    return 1
}

two_link() { # MINE OTHER LAST-OCTET; sets link
    local local_end=local.type=unix,local.path=$run_dir/$1.sock
    local remote_end=remote.type=unix,remote.path=$run_dir/$2.sock
    link=(-netdev "dgram,id=net,$local_end,$remote_end"
        -device "virtio-net-pci,netdev=net,mac=52:54:00:90:00:$3,host_mtu=4500")
}
