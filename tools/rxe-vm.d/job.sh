# The job directory shared with one guest: what to run, and what came of it.
#   config       read by guest/init and guest/setup
#   environment  exports for the job
#   script       the job itself
#   stdout, stderr, console   written by QEMU
#   ready, status, failure, dmesg   written by the guest
#   pid          QEMU's process
#   started, go  two machines: the server's command has run; the client may start
#   control/     two machines: what the client asks of the host, see two.sh
#   monitor.in, monitor.out   two machines: QEMU's monitor
# shellcheck shell=bash

server_addr=10.90.0.1
client_addr=10.90.0.2

write_environment() {
    local name
    for name in PATH HOME USER LANG TERM CARGO_TARGET_DIR "${!INITIATOR_@}" "${!RUST@}" \
        "${!CARGO_@}" "${!NEXTEST_@}"; do
        [[ ! -v $name ]] || printf 'export %s=%q\n' "$name" "${!name}"
    done
    for name in "${pass_env[@]}"; do
        if [[ $name == *=* ]]; then
            printf 'export %s=%q\n' "${name%%=*}" "${name#*=}"
        elif [[ -v $name ]]; then
            printf 'export %s=%q\n' "$name" "${!name}"
        fi
    done
}

# Both guest/init (busybox) and guest/setup (bash) read it.
write_config() { # ROLE INTERACTIVE
    printf '%s=%q\n' role "$1" interactive "$2" cwd "$PWD" out "$out" \
        setup "$parts/guest/setup" kernel_release "$kernel_release" \
        modules "$kernel_dir/lib/modules/$kernel_release" hugepages "$hugepages" \
        inline "$inline" disk "$disk" server_addr "$server_addr" client_addr "$client_addr"
}

make_job() { # DIRECTORY ROLE INTERACTIVE COMMAND...
    local dir=$1 role=$2 interactive=$3
    shift 3
    mkdir -p "$dir"
    write_config "$role" "$interactive" >"$dir/config"
    write_environment >"$dir/environment"
    { printf 'cd %q || exit 127\n' "$PWD"; (($# == 0)) || { printf 'exec'; printf ' %q' "$@"; echo; }; } >"$dir/script"
    : >"$dir/stdout"
    : >"$dir/stderr"
    : >"$dir/console"
}

write_terminal() { # DIRECTORY
    local rows=24 columns=80
    read -r rows columns < <(stty size)
    ((rows && columns)) || rows=24 columns=80
    printf 'stty sane rows %d columns %d </dev/ttyS0\nPS1="rxe-vm:\\w# "\n' "$rows" "$columns" >"$1/terminal"
}
