# Command line of tools/rxe-vm. Sets the variables that the other parts read.
# shellcheck shell=bash disable=SC2034

usage() {
    cat <<'TEXT'
Usage: tools/rxe-vm run   [OPTIONS] COMMAND [ARG...]   one machine: client and knfsd together
       tools/rxe-vm two   [OPTIONS] --client COMMAND [--server COMMAND]
                                                       two machines, knfsd on the server
       tools/rxe-vm shell [OPTIONS]                    one machine, with a prompt
       tools/rxe-vm clean                              forget the kernels and initramfs kept

The command runs as root in the same directory, with this machine's files
(read-only; what it writes goes to memory). Its output streams here and its exit
status becomes ours: 124 after the time limit, 125 if the machine itself failed.

Options:
  --kernel 6.12|6.1      guest kernel series (default 6.12)
  --accel auto|kvm|tcg|icount
                         auto tries KVM for some seconds, then emulates (default auto);
                         icount emulates with a clock that counts instructions: times do
                         not depend on what else the host does
  --memory MIB           guest memory (default 3072)
  --cpus N               guest CPUs (default 2)
  --hugepages N          2 MiB pages reserved in the guest (default 256)
  --inline BYTES         knfsd's inline threshold, sunrpc.svc_rdma.max_req_size
                         (default: the kernel's own, 4096)
  --timeout SECONDS      for boot and command together (default 600)
  --out DIR              a directory the guest may write to, INITIATOR_OUT there
                         (default target/rxe-vm/out)
  --env NAME[=VALUE]     pass a variable on (INITIATOR_*, RUST_*, CARGO_* and
                         NEXTEST_* always are)
  --verbose              show the guest's console on stderr
  --server COMMAND       two: run by bash on the server once knfsd is up; what is to
                         stay it must leave in the background
  --client COMMAND       two: run by bash on the client, after the server's ended
  --disk MIB             two: /export is ext4 on a disk that outlives the server's machine
  --revive               two: a server whose kernel panics is booted again, like one that was
                         killed; its console goes to server-panic.N.log in the --out directory
  --here                 run: no machine; this host has an RDMA device itself. With
                         --rdma-addr, --knfsd-addr, --export, --export-dir

The command finds in its environment: INITIATOR_RDMA_ADDR, INITIATOR_KNFSD_ADDR,
INITIATOR_EXPORT, INITIATOR_EXPORT_DIR, INITIATOR_OUT and others; on the client of two
machines INITIATOR_CONTROL, through which it kills and boots the server: docs/harness.md.
TEXT
}

bad_usage() {
    say "$*; see tools/rxe-vm --help"
    exit 2
}

positive() { # OPTION VALUE
    [[ $2 =~ ^[1-9][0-9]{0,6}$ ]] || bad_usage "$1 wants a positive number, not '$2'"
}

one_of() { # OPTION VALUE CHOICE...
    local option=$1 value=$2 choice
    shift 2
    for choice in "$@"; do
        [[ $value != "$choice" ]] || return 0
    done
    bad_usage "$option wants one of: $*; not '$value'"
}

set_defaults() {
    kernel_series=6.12 accel=auto memory=3072 cpus=2 hugepages=256 inline=0 disk=0 revive=0
    time_limit=600 out=$cache/out verbose=0 here=0
    server_command='' client_command=''
    rdma_addr='' knfsd_addr='' export_path='' export_dir=''
    pass_env=() command=()
}

parse_options() {
    set_defaults
    action=${1:-}
    case $action in
        run | two | shell | clean) shift ;;
        -h | --help | help) usage; exit 0 ;;
        '') usage >&2; exit 2 ;;
        *) bad_usage "no such action: '$action'" ;;
    esac
    while (($#)) && [[ $1 == -* ]]; do
        case $1 in
            -h | --help) usage; exit 0 ;;
            --verbose) verbose=1; shift; continue ;;
            --here) here=1; shift; continue ;;
            --revive) revive=1; shift; continue ;;
            --) shift; break ;;
        esac
        (($# > 1)) || bad_usage "$1 wants a value"
        parse_value "$1" "$2"
        shift 2
    done
    command=("$@")
    check_options
}

parse_value() { # OPTION VALUE
    case $1 in
        --kernel) one_of "$@" 6.12 6.1; kernel_series=$2 ;;
        --accel) one_of "$@" auto kvm tcg icount; accel=$2 ;;
        --memory) positive "$@"; memory=$2 ;;
        --cpus) positive "$@"; cpus=$2 ;;
        --hugepages) [[ $2 == 0 ]] || positive "$@"; hugepages=$2 ;;
        --inline) positive "$@"; inline=$2 ;;
        --disk) positive "$@"; disk=$2 ;;
        --timeout) positive "$@"; time_limit=$2 ;;
        --out) out=$2 ;;
        --env) pass_env+=("$2") ;;
        --server) server_command=$2 ;;
        --client) client_command=$2 ;;
        --rdma-addr) rdma_addr=$2 ;;
        --knfsd-addr) knfsd_addr=$2 ;;
        --export) export_path=$2 ;;
        --export-dir) export_dir=$2 ;;
        *) bad_usage "no such option: $1" ;;
    esac
}

check_options() {
    case $action in
        run) ((${#command[@]})) || bad_usage "run what?" ;;
        two) [[ -n $client_command ]] || bad_usage "two wants --client COMMAND" ;;&
        two | shell | clean) ((!${#command[@]})) || bad_usage "$action takes no command: '${command[*]}'" ;;
    esac
    ((hugepages * 2 + 1024 <= memory)) ||
        bad_usage "$hugepages hugepages leave too little of $memory MiB: at least 1024 MiB beside them"
    ((!disk)) || [[ $action == two ]] || bad_usage "--disk goes with two only"
    ((!revive)) || [[ $action == two ]] || bad_usage "--revive goes with two only"
    ((!here)) || [[ $action == run ]] || bad_usage "--here goes with run only"
}
