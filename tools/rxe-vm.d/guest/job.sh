# Runs the job with its output on the two virtio ports, and tells its status.
# shellcheck shell=bash

job_environment() {
    export INITIATOR_KNFSD_ADDR=$server_addr INITIATOR_RDMA_ADDR=$server_addr
    export INITIATOR_KNFSD_ADDR6=fd00::$server_addr
    export INITIATOR_EXPORT=/export INITIATOR_EXPORT_RO=/export-ro
    export INITIATOR_EXPORT_SMALL=/export-small INITIATOR_EXPORT_DENIED=/export-denied
    export INITIATOR_OUT=$out INITIATOR_VM=$role
    if [[ $role == client ]]; then
        export INITIATOR_RDMA_ADDR=$client_addr INITIATOR_CONTROL=$job/control
    else
        export INITIATOR_EXPORT_DIR=/export
    fi
    source "$job/environment"
    # An ordinary user's PATH lacks them, and in here that user is root.
    export PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
}

port_named() { # NAME -> its device; no udev makes /dev/virtio-ports here
    local attempt port
    for attempt in {1..50}; do
        for port in /sys/class/virtio-ports/*; do
            [[ $(cat "$port/name" 2>/dev/null) == "$1" ]] && { echo "/dev/$(basename "$port")"; return; }
        done
        sleep 0.1
    done
    fail "no virtio port $1 ($attempt attempts)"
}

run_job() {
    local status=0 stdout stderr
    if [[ $interactive == 1 ]]; then
        (job_environment; source "$job/terminal"; cd "$cwd"; exec setsid -c bash -i </dev/ttyS0 >/dev/ttyS0 2>&1) || status=$?
    else
        stdout=$(port_named stdout)
        stderr=$(port_named stderr)
        (job_environment; source "$job/script") </dev/null >"$stdout" 2>"$stderr" || status=$?
    fi
    kernel_complaints
    echo "$status" >"$job/status"
}

# An oops in the guest is worth a look even when the job did not notice.
kernel_complaints() {
    dmesg | grep -q -E 'BUG:|Oops|WARNING:|Call Trace' || return 0
    dmesg >"$job/dmesg"
}
