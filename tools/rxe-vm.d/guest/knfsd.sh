# The kernel's NFS server with RDMA on port 20049, and the exports tests need.
# shellcheck shell=bash

knfsd_up() {
    modprobe -a nfsd rpcrdma || fail "the guest's kernel has no nfsd or no rpcrdma"
    mountpoint -q /proc/fs/nfsd || mount -t nfsd nfsd /proc/fs/nfsd
    mountpoint -q /var/lib/nfs/rpc_pipefs || {
        mkdir -p /var/lib/nfs/rpc_pipefs
        mount -t rpc_pipefs sunrpc /var/lib/nfs/rpc_pipefs
    }
    if ((inline)); then
        echo "$inline" >/proc/sys/sunrpc/svc_rdma/max_req_size ||
            fail "the guest's kernel refuses --inline $inline"
    fi
    # Transfers of 1 MiB whatever the machine's memory is; knfsd's own choice goes by that.
    echo 1048576 >/proc/fs/nfsd/max_block_size || fail "knfsd refuses a block size of 1 MiB"
    exports_up
    mkdir -p /run/rpcbind /run/sendsigs.omit.d
    rpcbind -w || fail "rpcbind does not start"
    rpc.nfsd --no-nfs-version 4 8 || fail "rpc.nfsd does not start"
    rpc.mountd --port 20048 || fail "rpc.mountd does not start"
    rpcinfo -t "$server_addr" 100005 3 >/dev/null || fail "MOUNT does not answer over TCP"
    # After mountd, without which knfsd calls every file handle stale: clients of a
    # server that boots again are waiting already.
    echo "rdma 20049" >/proc/fs/nfsd/portlist || fail "knfsd does not listen on RDMA"
}

exports_up() {
    local all='no_root_squash,insecure,no_subtree_check' main=async
    mkdir -p /export /export-ro /export-small /export-denied /var/lib/nfs/v4recovery
    if ((disk)); then
        modprobe -a virtio_blk ext4 || fail "the guest's kernel has no virtio_blk or no ext4"
        mount -t ext4 /dev/vda /export || fail "the server's disk cannot be mounted"
        chmod 777 /export
        main=sync
    else
        mount -t tmpfs -o size=45%,mode=777 export /export
    fi
    mount -t tmpfs -o size=1m export-ro /export-ro
    mount -t tmpfs -o size=16m,mode=777 export-small /export-small
    mount -t tmpfs -o size=1m export-denied /export-denied
    echo "read only" >/export-ro/hello
    cat >/etc/exports <<TABLE
/export        *(rw,fsid=0,$main,$all)
/export-ro     *(ro,fsid=1,async,$all)
/export-small  *(rw,fsid=2,async,$all)
/export-denied 203.0.113.1(rw,fsid=3,async,$all)
TABLE
    rm -rf /etc/exports.d
    : >/var/lib/nfs/etab
    : >/var/lib/nfs/rmtab
    exportfs -ra || fail "exportfs refuses the exports"
}
