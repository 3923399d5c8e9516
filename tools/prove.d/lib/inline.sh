# The proofs inline-*: what the threshold decides, with 4 KiB and with 16 KiB blocks.
# shellcheck shell=bash

BLOCKS=512

# Blocks of this size go inline, or by chunk: both ways and all of them.
assert_way() { # NAME BLOCK THRESHOLD
    local inline=0 chunks=$BLOCKS
    if (($2 < $3)); then inline=$BLOCKS chunks=0; fi
    equal "WRITEs gathered into the Send" "$(counter "$1" gathered_sends)" "$inline"
    equal "WRITEs by Read chunk" "$(counter "$1" read_chunk_count)" "$chunks"
    equal "READs by Write chunk" "$(counter "$1" write_chunk_count)" "$chunks"
}

prove_inline() { # THRESHOLD
    local block name
    equal "what knfsd takes inline" "$(</proc/sys/sunrpc/svc_rdma/max_req_size)" "$1"
    for block in 4096 16384; do
        name=blocks-of-$block
        echo "  blocks of $block"
        run_job "$name" 120 "$(pattern_job "$name" $block $((block * BLOCKS)) 16)" --inline "$1"
        assert_verified "$name" $((block * BLOCKS))
        assert_way "$name" "$block" "$1"
        assert_pattern_seen_by_kernel "$name.0.0" "$block"
    done
}
