# netem on the link, and who noticed.
# shellcheck shell=bash disable=SC2154

# From now on, on what either machine sends.
netem() { both_ends netem_here "$@"; } # WORDS...
heal() { both_ends heal_here; }

# Below the discipline that the machine has at the root: see tools/rxe-vm.d/guest/link.sh.
netem_here() {
    modprobe sch_netem
    tc qdisc replace dev v0 parent 1:1 handle 10: netem "$@"
}
heal_here() { tc qdisc replace dev v0 parent 1:1 handle 11: pfifo limit 1000 2>/dev/null || true; }

both_ends() { # COMMAND...
    "$@"
    on_server "$@"
}

# A counter of both ends' devices together.
rxe_counters() { # NAME
    echo $(($(rxe_counter "$1") + $(on_server rxe_counter "$1")))
}
rxe_counter() { cat "/sys/class/infiniband/rxe0/ports/1/hw_counters/$1" 2>/dev/null || echo 0; }

# Packets that netem threw away, at both ends.
netem_drops() { echo $(($(netem_drops_here) + $(on_server netem_drops_here))); }
netem_drops_here() { tc -s qdisc show dev v0 | sed -n '/^qdisc netem/,/dropped/s/.*(dropped \([0-9]*\),.*/\1/p'; }

# RoCE packets are counted as they come in from the card. Those that rxe has not
# counted itself then, it refused: their checksum was wrong.
count_arrivals() {
    modprobe -a sch_ingress cls_u32 act_gact
    tc qdisc add dev v0 clsact
    tc filter add dev v0 ingress protocol ip prio 1 u32 \
        match ip protocol 17 0xff match ip dport 4791 0xffff action pass
    arrivals_before >"/run/arrivals"
}
arrivals_before() { echo "$(arrivals) $(rxe_counter rcvd_pkts)"; }
arrivals() { tc -s filter show dev v0 ingress | awk '$1 == "Sent" { n += $4 } END { print n + 0 }'; }
refused_here() {
    local seen taken
    read -r seen taken </run/arrivals
    echo $(($(arrivals) - seen - ($(rxe_counter rcvd_pkts) - taken)))
}
refused() { echo $(($(refused_here) + $(on_server refused_here))); }
forget_arrivals() { tc qdisc del dev v0 clsact; }

# A verified job before the fault and one under it. The proof's `mark` looks at the
# counters in between, its `struck` asserts by them that the fault was there.
prove_netem() { # WORDS...
    run_job calm 120 "$(verify_job 16k 1m 16)" --registration "$registration"
    mark
    netem "$@"
    run_job fault 300 "$(verify_job 16k "${prove_size:-8m}" 16)" --registration "$registration"
    struck
    heal
    assert_verified fault "$(figure fault '[.jobs[].write.io_bytes] | add')"
    at_least "bytes verified" "$(figure fault '[.jobs[].read.io_bytes] | add')" $((1 << 20))
    told "connections made" "$(counter fault connect_count)"
    told "calls sent again" "$(counter fault retransmissions)"
}

# With static keys the device has no binds to repeat: see docs/interop.md.
registration=${prove_registration:-auto}
mark() { :; }
