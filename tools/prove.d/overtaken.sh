# shellcheck shell=bash disable=SC2034
about='the server'\''s RDMA acknowledges held back, so that Replies overtake them and Sends are retried'
machines=two
options=(--inline 16384)
# Longer than the device waits for one before it sends again, which is half a second.
delay=${prove_delay:-1000ms}
drop=${prove_drop:-20}

# Of what the server sends, only RC Acknowledges (the first byte of the UDP payload to
# port 4791 is 0x11) take the slow band. This client asks for no RDMA Read, so an
# Acknowledge always stands for a Send of its.
server() {
    modprobe -a sch_netem cls_u32
    tc qdisc add dev v0 parent 1:3 handle 30: netem delay "$delay" loss "$drop%"
    tc filter add dev v0 parent 1: protocol ip prio 1 u32 match ip protocol 17 0xff \
        match ip dport 4791 0xffff match u8 0x11 0xff at 28 flowid 1:3
}

# Every Send packet as it left: its number, and whether each repetition of it carries
# the bytes that it had the first time. Prints: packets, repetitions, changed ones.
# shellcheck disable=SC2154 # from lib/job.sh
repetitions() {
    tcpdump -r "$out/wire.pcap" -xx -nn 2>/dev/null | awk '
        function packet(    key, opcode, qp, psn, body) {
            # Ethernet, IPv4 and UDP are 42 bytes; then BTH: opcode, queue pair, number;
            # the last four bytes are its checksum.
            opcode = substr(hex, 85, 2)
            if (opcode !~ /^(00|01|02|04)$/) return
            key = substr(hex, 95, 6) substr(hex, 103, 6)
            body = substr(hex, 109, length(hex) - 116)
            if (!(key in first)) { first[key] = body; n++; return }
            again++
            if (first[key] != body) changed++
        }
        /^\t0x/ { sub(/^\t0x[0-9a-f]*: */, ""); gsub(/ /, ""); hex = hex $0; next }
        { if (hex != "") packet(); hex = "" }
        END { if (hex != "") packet(); print n + 0, again + 0, changed + 0 }'
}

judge_repetitions() { # CHANGED
    equal "  and then with other bytes: a buffer came back early" "$1" 0
}

proof() {
    local dump packets again changed
    tcpdump -i v0 -Q out -s 0 -B 16384 -w "$out/wire.pcap" udp dst port 4791 2>"$out/tcpdump.err" &
    dump=$!
    sleep 2
    # Written buffers are used again at once: kept until a COMMIT, they would not change,
    # and nobody could see from outside who came back too early.
    printf '[memory]\nuncommitted_max = "0"\n' >"$out/at-once.toml"
    run_job overtaken 300 "$(pattern_job overtaken 4k 1m 16)" --inline 16k --config "$out/at-once.toml"
    kill -INT $dump
    wait $dump || true
    assert_verified overtaken $((1 << 20))
    equal "WRITEs gathered into the Send" "$(counter overtaken gathered_sends)" 256
    told "calls" "$(counter overtaken sends)"
    at_least "Replies that came before their Send's completion" "$(counter overtaken replies_before_send)" 10
    read -r packets again changed < <(repetitions)
    told "packets of Sends, seen on the wire" "$packets"
    at_least "  of them sent again" "$again" 10
    judge_repetitions "$changed"
    equal "packets that the capture missed" "$(sed -n 's/ packets dropped by kernel//p' "$out/tcpdump.err")" 0
    told "connections made" "$(counter overtaken connect_count)"
    assert_pattern_seen_by_kernel overtaken.0.0 4k
}
