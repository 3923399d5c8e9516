# shellcheck shell=bash disable=SC2034
about='1 MiB transfers with each kind of key, checked by us and by fio over the kernel'\''s client'

transfer() { # REGISTRATION
    echo "  registration = $1"
    run_job "$1" 120 "$(pattern_job "$1" 1m 32m 8 end_fsync=1)" --registration "$1"
    assert_verified "$1" $((32 << 20))
    equal "WRITEs by Read chunk" "$(counter "$1" read_chunk_count)" 32
    equal "READs by Write chunk" "$(counter "$1" write_chunk_count)" 32
    equal "bytes by Read chunk" "$(counter "$1" read_chunk_bytes)" $((32 << 20))
    equal "bytes by Write chunk" "$(counter "$1" total_rdma_reply)" $((32 << 20))
    assert_pattern_seen_by_kernel "$1.0.0" 1m
}

proof() {
    transfer window
    at_least "memory windows made" "$(counter window mrs_allocated)" 1
    transfer static
    equal "memory windows made" "$(counter static mrs_allocated)" 0
}
