# Starting, watching and ending machines. Every process started here ends with
# this script, however that ends: traps for the common ways, the kernel's
# parent-death signal for SIGKILL, timeout(1) for a guest that never finishes.
# shellcheck shell=bash

declare -A machines=() # process ids of those that run

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
    for pid in "${!machines[@]}"; do
        kill "$pid" 2>/dev/null || true
    done
    wait
    rm -rf "$run_dir"
}

machine_args() { # DIRECTORY
    qemu=(qemu-system-x86_64 "${accel_args[@]}" -smp "$cpus" -m "$memory"
        -nodefaults -no-user-config -display none -no-reboot -pidfile "$1/pid"
        -kernel "$kernel_dir/vmlinuz" -initrd "$initramfs"
        -append "console=ttyS0 panic=-1 quiet $accel_append"
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
    machines[$machine]=1
}

# Regular files and tail, not pipes: a slow reader never stalls the guest, and
# what was written last is there even if the guest is killed.
follow() { # MACHINE FILE
    tail -q -s 0.1 -c +1 --pid="$1" -f "$2" 2>/dev/null
}

follow_all() { # MACHINE DIRECTORY FILTER...
    local machine=$1 dir=$2
    shift 2
    announce "$dir" "$machine" &
    follow "$machine" "$dir/stdout" | "$@" &
    follow "$machine" "$dir/stderr" | "$@" >&2 &
    ((!verbose)) || follow "$machine" "$dir/console" | "$@" >&2 &
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

# Waits for the guest. Sets result, its job's status or what stands for it, and
# crashed, whether its kernel died before the job began.
finish_machine() { # MACHINE DIRECTORY
    local ended=0
    result=125 crashed=0
    wait "$1" || ended=$?
    unset "machines[$1]"
    if [[ -f $2/dmesg ]]; then
        cp "$2/dmesg" "$out/guest-dmesg.log"
        say "the guest's kernel complained: see $out/guest-dmesg.log"
    fi
    if [[ -f $2/status ]]; then
        result=$(<"$2/status")
    elif ((ended == 124 || ended == 137)); then
        say "time limit of $time_limit s reached ($(progress "$2")); the machine is stopped"
        result=124
    elif [[ -f $2/failure ]]; then
        say "$(<"$2/failure")"
    elif [[ ! -f $2/ready ]] && grep -q 'Kernel panic' "$2/console"; then
        crashed=1
        say "the guest's kernel crashed while it booted"
    elif grep -q 'Kernel panic' "$2/console"; then
        say_panic guest "$2" "$out/guest-panic.log"
    else
        say "the machine ended without a result ($(progress "$2")); its last words:"
        tail -n 30 "$2/qemu" "$2/console" >&2
    fi
}

say_panic() { # WHOSE DIRECTORY LOG [REST]: of which the console is kept in the log
    local where
    cp "$2/console" "$3"
    where=$(sed -n 's/.*RIP: 0010:\([^ +]*\).*/ in \1/p' "$3" | head -n 1)
    say "the $1's kernel panicked$where: see $3${4:-}"
}

progress() { # DIRECTORY
    if [[ -f $1/ready ]]; then echo "the command was running"; else echo "it was still booting"; fi
}

# Emulated CPUs that run a kernel patching itself crash it once in many boots
# (stale translations); nothing of the job has happened then, so it is safe to boot again.
boots_max=3

boot_until_up() { # FUNCTION that boots once and sets result and crashed
    local boot
    for ((boot = 1; boot <= boots_max; boot++)); do
        "$1" "$run_dir/$boot"
        ((crashed)) || exit "$result"
        ((boot == boots_max)) || say "booting again"
    done
    say "$boots_max boots crashed; --verbose shows the console"
    exit 125
}

run_one() { boot_until_up boot_one; }

boot_one() { # DIRECTORY
    make_job "$1" one 0 "${command[@]}"
    start_machine "$1"
    follow_all "$machine" "$1" cat
    finish_machine "$machine" "$1"
    wait
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
