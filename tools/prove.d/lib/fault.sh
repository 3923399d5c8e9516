# What is done to the link, the server and the device.
# shellcheck shell=bash

# Packets that came over rxe0 so far: progress, as seen from outside the client.
packets() { cat /sys/class/infiniband/rxe0/ports/1/hw_counters/rcvd_pkts 2>/dev/null || echo 0; }

# Until so many more packets have come, at most so long. Status 1 if the job ends first.
wait_for_packets() { # COUNT SECONDS
    local goal=$(($(packets) + $1)) limit=$((SECONDS + $2))
    while (($(packets) < goal)); do
        job_runs || return 1
        ((SECONDS < limit)) || give_up "not $1 packets within $2 s"
        sleep 0.1
    done
}

# Asks the host for something and waits until it is done.
ask() { # kill-server|boot-server|unplug|plug
    local request=$INITIATOR_CONTROL/$1
    [[ -d $INITIATOR_CONTROL ]] || give_up "nobody can be asked to $1"
    # 9p says ENOENT if the host has done it, and taken it away, before mkdir is over.
    mkdir "$request" 2>/dev/null || [[ ! -e $request ]] || give_up "the host is still asked to $1"
    while [[ -e $request ]]; do sleep 0.1; done
}

stop_knfsd() { rpc.nfsd 0; }

# As tools/rxe-vm.d/guest/knfsd.sh starts it.
start_knfsd() {
    rpc.nfsd --no-nfs-version 4 8
    echo "rdma 20049" >/proc/fs/nfsd/portlist
}

# The client's RDMA device; it goes only once nobody holds anything of it.
remove_device() {
    timeout 60 rdma link delete rxe0 || give_up "the device cannot be deleted: it is still in use"
}
add_device() { rdma link add rxe0 type rxe netdev v0; }

# rxe ends its queue pair 1 for good when the network refuses a Send of it: nobody connects over that device any
# more (docs/interop.md), and it cannot always be deleted then.
queue_pair_1_is_lost() { rdma resource show qp | grep -q 'type GSI state ERR'; }
