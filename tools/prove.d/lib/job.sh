# Jobs of our client and of the kernel's, and what their reports say.
# shellcheck shell=bash disable=SC2154

kernel_mount=/run/prove
# Reactors leave the emulated CPUs to the kernel's workers; pauses before connecting
# again are short, so that a proof is.
client_options=(--idle nice:19 --reconnect-min 1 --reconnect-max 4)
job_pid=''

# What most proofs put their fault under: every block has its offset, its number and
# a checksum, and all are read back.
verify_job() { # BLOCK SIZE DEPTH [LINE...]
    printf '%s\n' '[verify]' rw=randwrite verify=crc32c "bs=$1" "size=$2" "iodepth=$3" "${@:4}"
}

# Blocks of a pattern that fio knows too, different in each block.
pattern='"initiator"%o0x5a'
pattern_job() { # NAME BLOCK SIZE DEPTH [LINE...]
    printf '%s\n' "[$1]" rw=randwrite verify=pattern "verify_pattern=$pattern" \
        "bs=$2" "size=$3" "iodepth=$4" "${@:5}"
}

# Runs our client in the background; its report will be NAME.json.
start_job() { # NAME JOB [OPTION...]
    local name=$1
    printf '[global]\nnfs_url=nfs://%s%s\n%s\n' "$INITIATOR_KNFSD_ADDR" "$INITIATOR_EXPORT" "$2" >"$out/$name.fio"
    # Stalls are the emulated CPUs' doing.
    RUST_LOG=${RUST_LOG:-warn,reactor=error} "$initiator" run "${client_options[@]}" "${@:3}" \
        --output-format json --output "$out/$name.json" "$out/$name.fio" 2>"$out/$name.err" &
    job_pid=$!
}

job_runs() { [[ -n $job_pid ]] && kill -0 "$job_pid" 2>/dev/null; }

still_running() { # WHEN
    equal "the job, $1" "$(job_runs && echo waits || echo ended)" waits
    job_runs || { tail -n 5 "$out"/*.err >&2; give_up "there is nothing to go on with"; }
}

# Waits for the job that was started, at most so long; checks that it ended well.
end_job() { # NAME SECONDS
    local limit=$((SECONDS + $2)) status=0
    while job_runs && ((SECONDS < limit)); do sleep 0.2; done
    ! job_runs || { told "the job does not end within" "$2 s"; kill -9 "$job_pid"; }
    wait "$job_pid" 2>/dev/null || status=$?
    job_pid=''
    ((!status)) || grep -v '^$' "$out/$1.err" | tail -n 5 >&2
    equal "exit status of the job" "$status" 0
    [[ -s $out/$1.json ]] || give_up "it left no report"
}

run_job() { # NAME SECONDS JOB [OPTION...]
    start_job "$1" "${@:3}"
    end_job "$1" "$2"
}

figure() { jq -r "$2" "$out/$1.json"; }                          # NAME JQ-EXPRESSION
counter() { figure "$1" ".initiator.counters.$2 // \"absent\""; } # NAME COUNTER

# All that was written has been read back and was right; nothing was misunderstood.
assert_verified() { # NAME BYTES
    equal "bytes written" "$(figure "$1" '[.jobs[].write.io_bytes] | add')" "$2"
    equal "bytes read back and right" "$(figure "$1" '[.jobs[].read.io_bytes] | add')" "$2"
    equal "errors of the job" "$(figure "$1" '[.jobs[].error] | add')" 0
    local name
    for name in bad_reply_count bad_xids stale_completions rdma_errors failed_marshal_count; do
        equal "$name" "$(counter "$1" $name)" 0
    done
}

mount_by_kernel() {
    mkdir -p "$kernel_mount"
    mount -t nfs -o "rdma,port=20049,vers=3,nolock" \
        "$INITIATOR_KNFSD_ADDR:$INITIATOR_EXPORT" "$kernel_mount"
}

unmount_by_kernel() { ! mountpoint -q "$kernel_mount" || umount -f "$kernel_mount"; }

# The other judge: fio reads the file that our client wrote, by the kernel's client.
assert_pattern_seen_by_kernel() { # FILE BLOCK
    local status=0
    mount_by_kernel
    fio --name=check --filename="$kernel_mount/$1" --rw=read --bs="$2" --verify=pattern \
        "--verify_pattern=$pattern" --ioengine=psync --minimal >"$out/fio" 2>&1 || status=$?
    equal "fio's verdict over the kernel's client" "$status" 0
    ((!status)) || tail -n 3 "$out/fio" >&2
    unmount_by_kernel
}

end_all() {
    ! job_runs || kill -9 "$job_pid"
    ! declare -F heal >/dev/null || heal
    unmount_by_kernel
}
