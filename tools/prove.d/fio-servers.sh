# shellcheck shell=bash source-path=SCRIPTDIR disable=SC2016,SC2034,SC2154
about='one fio drives two fio servers on two machines, each over this client, and both verify'
source "$(dirname "${BASH_SOURCE[0]}")/lib/engine.sh"

server() {
    start_fio_server "$INITIATOR_RDMA_ADDR"
}

# What is reported of a job.
of_job() { # NAME JQ-EXPRESSION
    jq -r --arg name "$1" ".client_stats[] | select(.jobname == \$name) | $2" "$out/report.json"
}

assert_host_verified() { # JOB HOST BYTES
    equal "$1: host" "$(of_job "$1" .hostname)" "$2"
    equal "$1: error" "$(of_job "$1" .error)" 0
    equal "$1: bytes written" "$(of_job "$1" .write.io_bytes)" "$3"
    equal "$1: bytes read back and right" "$(of_job "$1" .read.io_bytes)" "$3"
}

proof() {
    local status=0 here=127.0.0.1
    start_fio_server "$here"
    wait_for_fio_server "$here"
    wait_for_fio_server "$INITIATOR_KNFSD_ADDR"
    fio_verify_job here numjobs=2 'filename_format=from-here.$jobnum' group_reporting
    fio_verify_job there filename=from-there
    (cd "$out" && fio --output-format=json --output=fio.json --client="$here" here.job \
        --client="$INITIATOR_KNFSD_ADDR" there.job) >"$out/client.log" 2>&1 || status=$?
    kill "$fio_server"
    equal "status of the fio that drives both" "$status" 0
    # fio's notes come before its report.
    sed -n '/^{/,$p' "$out/fio.json" >"$out/report.json"
    assert_host_verified here "$here" $((4 << 20))
    assert_host_verified there "$INITIATOR_KNFSD_ADDR" $((2 << 20))
}
