# The RDMA link: rxe0 on v0, which is one end of a veth pair (one host) or the
# virtio card that leads to the other machine (two hosts).
# shellcheck shell=bash

# RoCE's MTU is a power of two: 4500 leaves room for 4096 and the headers.
link_mtu=4500

link_up() {
    ip link set lo up
    modprobe -a ib_uverbs rdma_ucm rdma_rxe || fail "the guest's kernel has no rdma_rxe"
    case $role in
        one) veth_up ;;
        *) card_up ;;
    esac
    rdma link add rxe0 type rxe netdev v0 || fail "rdma_rxe refused v0"
    # The addresses become GIDs, on which rdma_cm binds, a moment after rxe0 is there.
    local attempt
    for attempt in {1..50}; do
        gid_ready && return
        sleep 0.1
    done
    fail "rxe0 has no GIDs for its addresses after ${#attempt} attempts"
}

gid_ready() {
    grep -qs 'ffff' /sys/class/infiniband/rxe0/ports/1/gids/* &&
        grep -qs '^fd00' /sys/class/infiniband/rxe0/ports/1/gids/*
}

# Each IPv4 address has one of IPv6 beside it: fd00::10.90.0.1 beside 10.90.0.1.
address_up() { # ADDRESS
    ip addr add "$1/24" dev v0
    ip addr add "fd00::$1/120" dev v0 nodad
}

veth_up() {
    modprobe veth
    ip link add v0 mtu $link_mtu type veth peer name v1 mtu $link_mtu
    ip link set v1 up
    address_up "$server_addr"
    ip link set v0 up
}

card_up() {
    local card addr=$server_addr
    modprobe virtio_net
    card=$(cd /sys/class/net && for card in *; do
        [[ $card == lo ]] || { echo "$card"; break; }
    done)
    [[ $role == server ]] || addr=$client_addr
    ip link set "$card" name v0
    address_up "$addr"
    # What tests do to the link goes below this: a root that is replaced while it is in use
    # refuses packets for a moment, and rxe's own queue pair 1 does not survive that.
    modprobe sch_prio
    tc qdisc replace dev v0 root handle 1: prio bands 3 priomap 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
    ip link set v0 mtu $link_mtu up
}
