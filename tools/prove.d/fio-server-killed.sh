# shellcheck shell=bash source-path=SCRIPTDIR disable=SC2034,SC2154
about='the server'\''s machine killed under fio with this client: fio ends with our sentence'
source "$(dirname "${BASH_SOURCE[0]}")/lib/engine.sh"

proof() {
    local status=0 began
    fio_job killed rw=randread bs=4k size=1m iodepth=8 time_based runtime=600 \
        recovery=soft timeo=50 retrans=1
    (cd "$out" && exec fio --output-format=json killed.job >fio.json 2>fio.err) &
    job_pid=$!
    wait_for_packets 1500 120 || give_up "fio ended before the kill: $(tail -n 3 "$out/fio.err")"
    ask kill-server
    began=$SECONDS
    while job_runs && ((SECONDS - began < 180)); do sleep 0.5; done
    ! job_runs || { kill -9 "$job_pid"; told "fio does not end within" "180 s"; }
    wait "$job_pid" 2>/dev/null || status=$?
    job_pid=''
    told "seconds from the kill to fio's end" "$((SECONDS - began))"
    # A signal's number is 128 and more.
    equal "fio failed, in order" "$((status > 0 && status < 128))" 1
    equal "our sentence in what fio says" \
        "$(grep -ch 'initiator: gave up after .* without an answer' "$out/fio.err" "$out/fio.json" |
            awk '{ n += $1 } END { print (n > 0) }')" 1
}
