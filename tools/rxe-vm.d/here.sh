# run --here: the host has an RDMA device and knows an NFS/RDMA server.
# shellcheck shell=bash

run_here() {
    compgen -G '/sys/class/infiniband/*' >/dev/null ||
        die "--here: this host has no RDMA device (/sys/class/infiniband is empty)"
    [[ -n $rdma_addr ]] || bad_usage "--here wants --rdma-addr, the address of the RDMA device"
    mkdir -p "$out"
    export INITIATOR_RDMA_ADDR=$rdma_addr INITIATOR_VM=here
    INITIATOR_OUT=$(readlink -f "$out")
    export INITIATOR_OUT
    [[ -z $knfsd_addr ]] || export INITIATOR_KNFSD_ADDR=$knfsd_addr
    [[ -z $export_path ]] || export INITIATOR_EXPORT=$export_path
    [[ -z $export_dir ]] || export INITIATOR_EXPORT_DIR=$export_dir
    exec timeout -k 5 "$time_limit" "${command[@]}"
}
