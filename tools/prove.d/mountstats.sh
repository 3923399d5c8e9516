# shellcheck shell=bash disable=SC2034,SC2154
about='the counters of the kernel'\''s client (mountstats, xprt: rdma) and ours, after the same jobs'

# Place of each field on the line, as net/sunrpc/xprtrdma/transport.c prints it.
declare -A field=([connect_count]=5 [sends]=8 [recvs]=9 [bad_xids]=10 [read_chunk_count]=13
    [write_chunk_count]=14 [reply_chunk_count]=15 [total_rdma_request]=16 [total_rdma_reply]=17
    [pullup_copy_count]=18 [fixup_copy_count]=19 [failed_marshal_count]=21 [bad_reply_count]=22
    [nomsg_call_count]=23 [mrs_recycled]=24 [mrs_allocated]=26 [local_inv_needed]=27
    [empty_sendctx_q]=28 [replies_before_send]=29)
# Those that the same data must move alike. Of the others, some depend on how files are
# opened and looked up and on when the two began to count; failed_marshal_count is with
# the kernel also a call that had to wait for a registration.
alike=(read_chunk_count write_chunk_count reply_chunk_count total_rdma_request
    total_rdma_reply fixup_copy_count bad_xids bad_reply_count nomsg_call_count)

jobs='[write]
rw=write
bs=16k
size=4m
iodepth=8
filename=alike
[read]
stonewall
rw=randread
bs=16k
size=4m
io_size=2m
iodepth=8
filename=alike
[small-read]
stonewall
rw=read
bs=512
size=64k
iodepth=8
filename=alike'

# The line of our mount point's device.
line() {
    awk -v at="$kernel_mount" '$1 == "device" { here = $5 == at } here && $1 == "xprt:"' /proc/self/mountstats
}

kernel_jobs() {
    mount_by_kernel
    # The file is there already, of its full size, from our own jobs.
    line >"$out/before"
    printf '[global]\ndirectory=%s\nioengine=libaio\ndirect=1\ninvalidate=0\n%s\n' "$kernel_mount" "$jobs" >"$out/kernel.fio"
    fio --output-format=json --output="$out/kernel.json" "$out/kernel.fio"
    line >"$out/after"
    unmount_by_kernel
}

gained() { # FIELD
    awk -v n="${field[$1]}" 'NR == 1 { before = $n } NR == 2 { print $n - before }' "$out/before" "$out/after"
}

proof() {
    local name
    run_job ours 120 "$jobs"
    kernel_jobs
    equal "fields on the kernel's line" "$(wc -w <"$out/after")" 29
    equal "blocks that each moved" "$(figure ours '[.jobs[] | .read.total_ios + .write.total_ios] | add')" \
        "$(figure kernel '[.jobs[] | .read.total_ios + .write.total_ios] | add')"
    printf '   %-24s %14s %14s\n' counter ours kernel
    for name in "${!field[@]}"; do
        printf '   %-24s %14s %14s\n' "$name" "$(counter ours "$name")" "$(gained "$name")"
    done | sort
    for name in "${alike[@]}"; do
        equal "$name, ours and the kernel's" "$(counter ours "$name")" "$(gained "$name")"
    done
}
