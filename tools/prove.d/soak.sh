# shellcheck shell=bash source-path=SCRIPTDIR disable=SC2034,SC2154
about='verified jobs of any shape under faults of every kind, at random from a seed: see tools/soak'
machines=two
options=(--disk 1024 --revive)
features=planted-faults
source "$(dirname "${BASH_SOURCE[0]}")/lib/witness.sh"
minutes=${prove_minutes:-60} seed=${prove_seed:-1}
# Only the run of this number; or from that on.
only=${prove_only:-} first=${prove_first:-1}
seconds_max=$((minutes * 60 + 1200))

# Another one after each boot: rxe's bugs kill the server's kernel unasked now and then (docs/interop.md).
boot_id=/proc/sys/kernel/random/boot_id

# Each run has a sequence of its own, so that it can be repeated without those before it.
begin_draws() { random=$((seed * 1000003 + $1)); draw 2; draw 2; }
draw() { # N: sets drawn, 0 to N - 1
    random=$((random * 6364136223846793005 + 1442695040888963407))
    drawn=$(((random >> 33 & 0x7fffffff) % $1))
}
pick() { draw $#; shift "$drawn"; picked=$1; } # WORD...: sets picked

draw_shape() {
    local block count
    pick 512 2k 4k 16k 16k 64k 256k; block=$picked
    # Some 300 to 1200 blocks, 24 MiB at most.
    draw 900; count=$((300 + drawn))
    case $block in 64k) count=$((count / 4)) ;; 256k) count=$((count / 16)) ;; esac
    pick 1 4 8 16 32; shape_depth=$picked
    pick crc32c crc32c md5 sha256 xxhash
    shape=(rw=randwrite "verify=$picked" "bs=$block" "iodepth=$shape_depth")
    pick write randwrite randwrite; shape[0]=rw=$picked
    block=$(numfmt --from=iec "${block^^}")
    shape+=("size=$((block * count))")
    pick '' fsync=16 end_fsync=1 sync=1; shape+=(${picked:+"$picked"})
    pick 1 1 2; shape_jobs=$picked; shape+=("numjobs=$picked"); shape_bytes=$((block * count * picked))
    keys=auto
    draw 3; ((drawn)) || keys=static
    # On a busy host it may be seconds before either machine gets to it.
    client=(--timeo 150 --connect-timeout 60 --registration "$keys")
    pick 1 1 2; client+=(--nconnect "$picked")
    pick 7 0 31; client+=(--send-batch "$picked")
    pick 4k 4k 1k; client+=(--inline "$picked")
    pick '' '' 60 150; disconnect_every=$picked
}

hold() { draw 10; sleep $((3 + drawn)); }
for_a_while() { netem "$@"; hold; heal; }
fault_loss() { draw 2; for_a_while loss "$((drawn + 1))%"; }
fault_delay() { for_a_while delay 15ms 5ms rate 100mbit; }
fault_duplicate() { for_a_while duplicate 10%; }
fault_reorder() { for_a_while delay 10ms reorder 2%; }
fault_corrupt() { for_a_while corrupt 1%; }
fault_knfsd() { on_server stop_knfsd; draw 3; sleep "$drawn"; on_server start_knfsd; }
# Nothing gets through. With the carrier gone, which tools/prove link-down shows, clients that connect at that
# moment cost rxe its queue pair 1.
fault_outage() { for_a_while loss 100%; }
fault_device() { remove_device; draw 3; sleep "$drawn"; add_device; }
fault_server() { ask kill-server; draw 5; sleep "$drawn"; ask boot-server; }
# The other client; see below.
fault_client() { :; }

draw_faults() {
    local count
    faults=()
    draw 3
    for ((count = drawn + 1; count > 0; count--)); do
        pick loss delay duplicate reorder corrupt knfsd knfsd outage outage device device server client client
        faults+=("$picked")
    done
}

# As if nothing had happened, whatever became of the run before.
restore() {
    heal_here
    [[ -e /sys/class/infiniband/rxe0 ]] || add_device
    on_server 'rm -f /export/run.*; heal_here; grep -q rdma /proc/fs/nfsd/portlist || start_knfsd'
    ! queue_pair_1_is_lost || give_up "rxe's queue pair 1 is lost: no client can connect any more"
    ! on_server queue_pair_1_is_lost || give_up "rxe's queue pair 1 is lost on the server's machine: no client can connect any more"
}

# Every part of the job writes: a mount that has never been there does not wait for its server.
wait_until_it_writes() {
    local limit=$((SECONDS + 120))
    while job_runs && (($(on_server 'find /export -name "run.*" -size +0 | wc -l') < shape_jobs)); do
        ((SECONDS < limit)) || give_up "the job does not write after 120 s"
        sleep 0.5
    done
}

strike() {
    local fault
    for fault in "${faults[@]}"; do
        wait_for_packets 200 180 || return 0
        echo "$fault" >>"$out/struck"
        "fault_$fault"
    done
}

# One run, in a process of its own.
soak_run() ( # NUMBER
    set -e
    local boot
    checked=0 wrong=0 died=()
    begin_draws "$1"
    draw_shape
    draw_faults
    trap 'end_run' EXIT
    echo "run $1: ${faults[*]}${disconnect_every:+, ends every $disconnect_every calls}; ${shape[*]} ${client[*]}"
    exec > >(grep --line-buffered WRONG)
    restore
    boot=$(on_server cat "$boot_id")
    ! [[ " ${faults[*]} " == *" client "* ]] || start_witness "witnessed" "$1" --registration "$keys" --sync-every 20
    [[ -z $disconnect_every ]] || export INITIATOR_DISCONNECT_EVERY=$disconnect_every
    start_job run "$(printf '%s\n' '[run]' "${shape[@]}")" "${client[@]}"
    wait_until_it_writes
    strike
    if [[ -n ${witness_pid:-} ]]; then
        kill_witness
        [[ $(on_server cat "$boot_id") == "$boot" ]] || died=(--server-died)
        judge_file witnessed "${died[@]}"
    fi
    end_job run 400
    assert_verified run "$shape_bytes"
    verdict
)

end_run() {
    ! job_runs || kill -9 "$job_pid"
    [[ -z ${witness_pid:-} ]] || kill -9 "$witness_pid" 2>/dev/null || true
}

# Of the witness alone: other clients come and go.
resources() {
    local kind
    for kind in qp cq mr pd cm_id ctx; do rdma resource show "$kind"; done | grep -c 'comm witness' || true
}

proof() {
    source tools/prove.d/lib/netem.sh
    source tools/prove.d/lib/levels.sh
    hugepages=$(hugepages_free)
    local number failed=() runs=0 end=$((SECONDS + minutes * 60)) status name
    : >"$out/struck"
    if [[ -n $only ]]; then
        run_and_note "$only"
    else
        # Whatever else happens, its connection ends every 300 calls.
        INITIATOR_DISCONNECT_EVERY=300 start_long
        for ((number = first; SECONDS < end; number++)); do run_and_note "$number"; done
    fi
    restore
    told "seed" "$seed"
    told "runs" "$runs"
    equal "runs that failed" "${failed[*]:-none}" none
    sort "$out/struck" | uniq -c | while read -r status name; do told "  $name" "$status times"; done
    told "  the server's kernel panicked" "$(find "$INITIATOR_OUT" -maxdepth 1 -name 'server-panic.*' | wc -l) times"
    [[ -n $only ]] || end_long
    equal "hugepages free once all is over" "$(hugepages_free)" "$hugepages"
}

run_and_note() { # NUMBER
    local status
    set +e
    soak_run "$1"
    status=$?
    set -e
    runs=$((runs + 1))
    ((status)) || return 0
    failed+=("$1")
    mkdir -p "$out/failed.$1"
    mv "$out"/run.* "$out/failed.$1" || true
    echo "   run $1 failed; to repeat it: tools/soak --seed $seed --only $1"
}
