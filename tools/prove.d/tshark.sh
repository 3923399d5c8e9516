# shellcheck shell=bash source-path=SCRIPTDIR disable=SC2034,SC2154
about='all that crosses the wire decoded by tshark: nothing malformed, and the chunks that our counters say'
machines=two
source "$(dirname "${BASH_SOURCE[0]}")/lib/witness.sh"
prepare=prepare_tshark
seconds_max=600

prepare_tshark() {
    tools/deps tshark && build_witness
}

# Verified blocks of several sizes: inline, gathered and by chunk, both ways.
blocks='[global]
size=256k
iodepth=8
verify=crc32c
rw=randwrite
[small]
bs=512
[gathered]
bs=2k
[chunks]
bs=16k
[large]
bs=128k'

# One line for each frame: what tshark makes of it, at the second look, when it knows what
# was written by RDMA before a reply.
decode() {
    tshark -n -2 -r "$out/wire.pcap" -T fields -E separator='|' -e _ws.malformed -e ip.src \
        -e infiniband.bth.opcode -e infiniband.bth.destqp -e rpcordma.xid -e rpcordma.msg_type \
        -e rpcordma.flow_control -e rpcordma.reads_count -e rpcordma.writes_count \
        -e rpcordma.reply_count -e rpcordma.rdma_length -e nfs.procedure_v3 \
        -e rpcordma.fragment.overlap.conflicts \
        >"$out/frames" 2>"$out/tshark.err"
    # A message that was sent twice is taken once.
    awk -F '|' '$5 == "" || !seen[$2, $5]++' "$out/frames" >"$out/messages"
}

# Of frames that meet a condition of awk's, by these names: how many, or a sum over them.
count() { # CONDITION [EXPRESSION [FILE]]
    awk -F '|' -v client="$INITIATOR_RDMA_ADDR" -v server="$INITIATOR_KNFSD_ADDR" '
        function lengths(    n, parts, i, sum) {
            n = split($11, parts, ",")
            for (i = 1; i <= n; i++) sum += parts[i]
            return sum
        }
        { malformed = $1; from = $2; opcode = $3; to_qp = $4; rpc = $5 != ""; type = $6
          credits = $7; reads = $8 > 0; writes = $9 > 0; reply = $10 > 0; procedure = $12
          # tshark numbers fragments by their offset in whole packets: where a server ends an
          # RDMA Write amid one and goes on with another, it drops bytes, and says so.
          dropped = $13 != ""
          # The last packets of Sends, also of those that invalidate a key, but for those of
          # the connection manager.
          send = opcode ~ /^(2|3|4|5|22|23)$/ && to_qp !~ /^0x0*1$/
          call = rpc && from == client; answer = rpc && from == server
        }
        '"$1"' { n += '"${2:-1}"' }
        END { print n + 0 }' "$out/${3:-messages}"
}

# The counter of both processes together.
ours() { # COUNTER
    jq -n --slurpfile one "$out/traffic.json" --slurpfile two "$out/blocks.json" \
        "\$one[0].$1 + \$two[0].initiator.counters.$1"
}

capture() {
    tcpdump -i v0 -s 0 -B 32768 -w "$out/wire.pcap" udp port 4791 2>"$out/tcpdump.err" &
    local dump=$!
    sleep 2
    "$witness" traffic "$(witness_url traffic)" >"$out/traffic.json" 2>"$out/traffic.err" ||
        give_up "the traffic ended: $(tail -n 3 "$out/traffic.err")"
    run_job blocks 120 "$blocks"
    sleep 2
    kill -INT $dump
    wait $dump || true
    equal "packets that the capture missed" "$(sed -n 's/ packets dropped by kernel//p' "$out/tcpdump.err")" 0
}

proof() {
    local name sends
    capture
    decode
    told "frames" "$(wc -l <"$out/frames")"
    equal "frames that tshark calls malformed" "$(count 'malformed != "" && !dropped' 1 frames)" 0
    told "Reply chunks that it put together wrongly, by its own word" "$(count dropped 1 frames)"
    sends=$(count send 1 frames)
    equal "Sends that it takes for RPC over RDMA, of $sends" "$(count 'send && rpc' 1 frames)" "$sends"
    equal "calls (sends)" "$(count call)" "$(ours sends)"
    equal "replies (recvs)" "$(count answer)" "$(ours recvs)"
    equal "calls with a Read chunk (read_chunk_count)" "$(count 'call && reads')" "$(ours read_chunk_count)"
    equal "  bytes in them (read_chunk_bytes)" "$(count 'call && reads' 'lengths()')" "$(ours read_chunk_bytes)"
    equal "calls with a Write chunk (write_chunk_count)" "$(count 'call && writes')" "$(ours write_chunk_count)"
    equal "calls with a Reply chunk (reply_chunk_count)" "$(count 'call && reply')" "$(ours reply_chunk_count)"
    equal "  bytes offered in both (total_rdma_request)" \
        "$(count 'call && (writes || reply)' 'lengths()')" "$(ours total_rdma_request)"
    equal "  bytes returned in both (total_rdma_reply)" \
        "$(count 'answer && (writes || reply)' 'lengths()')" "$(ours total_rdma_reply)"
    equal "calls of type RDMA_NOMSG (nomsg_call_count)" "$(count 'call && type == 1')" "$(ours nomsg_call_count)"
    at_least "replies of type RDMA_NOMSG" "$(count 'answer && type == 1')" 1
    equal "messages of a type but RDMA_MSG and RDMA_NOMSG" "$(count 'rpc && type > 1')" 0
    equal "credits granted, at most" "$(count answer "credits > n ? credits - n : 0")" \
        "$(figure blocks '.initiator.mounts[0].credits_granted')"
    # As tshark's NFS dissector understands them; a call by Read chunk with the last of its data.
    for name in 1:GETATTR 3:LOOKUP 4:ACCESS 6:READ 7:WRITE 8:CREATE 9:MKDIR 12:REMOVE 13:RMDIR \
        17:READDIRPLUS 18:FSSTAT 19:FSINFO 21:COMMIT; do
        at_least "calls of ${name#*:}" "$(count "from == client && procedure == ${name%:*}")" 1
        equal "  and replies to them" "$(count "from == server && procedure == ${name%:*}")" \
            "$(count "from == client && procedure == ${name%:*}")"
    done
}
