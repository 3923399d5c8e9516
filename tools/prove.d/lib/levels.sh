# A client that lives through everything: its memory and what it holds, in the first
# minute and in the last, both of them without faults.
# shellcheck shell=bash disable=SC2154

# Writes and checks for ever, a little at a time, so that most looks find it at rest.
start_long() {
    start_job long "$(verify_job 4k 2m 8 verify_backlog=32 rate_iops=12 time_based runtime=30d)" \
        --status-interval 5 --timeo 150
    long_pid=$job_pid job_pid=''
    sample_memory &
    quiet_minute
}

# Seconds, KiB of its own, KiB with the pages of its program.
sample_memory() {
    local own all
    : >"$out/memory"
    while read -r all own < <(awk '$1 == "VmRSS:" || $1 == "RssAnon:" { line = line " " $2 } END { print line }' \
        "/proc/$long_pid/status" 2>/dev/null) && [[ -n $own ]]; do
        echo "$SECONDS $own $all" >>"$out/memory"
        sleep 5
    done
}

quiet_minute() { sleep 75; }

# The greatest, or the least, of the second column in the first or the last minute.
extreme() { # FILE most|least first|last
    awk -v which="$2" -v when="$3" '
        { at[NR] = $1; value[NR] = $2 }
        END {
            for (i = 1; i <= NR; i++)
                if (when == "first" ? at[i] >= at[1] + 10 && at[i] <= at[1] + 70 : at[i] >= at[NR] - 60)
                    if (found == "" || (which == "most" ? value[i] > found : value[i] < found)) found = value[i]
            print found
        }' "$1"
}

end_long() {
    local name status=0 written checked_bytes
    quiet_minute
    echo "  the client that lived through all of it"
    kill -INT "$long_pid"
    wait "$long_pid" 2>/dev/null || status=$?
    equal "exit status once it is interrupted" "$status" 130
    # Reports one after another; the last is of the end, when nothing is held.
    jq -c . "$out/long.json" >"$out/long.reports"
    head -n -1 "$out/long.reports" | jq -c '.initiator.mounts[0].held + {timestamp} | select(.buffers)' >"$out/held"
    tail -n 1 "$out/long.reports" >"$out/long.json"
    written=$(figure long '[.jobs[].write.io_bytes] | add')
    checked_bytes=$(figure long '[.jobs[].read.io_bytes] | add')
    equal "errors of the job" "$(figure long '[.jobs[].error] | add')" 0
    # What came after the last 32 blocks that were looked at is not.
    at_least "bytes read back and right, of $written" "$checked_bytes" $((written - 40 * 4096))
    for name in sends connect_count retransmissions; do told "$name" "$(counter long $name)"; done
    for name in bad_reply_count bad_xids stale_completions rdma_errors failed_marshal_count; do
        equal "$name" "$(counter long $name)" 0
    done
    told "its memory, KiB, with its program's pages" "$(tail -n 1 "$out/memory" | cut -d ' ' -f 3)"
    # What a lost connection or device leaves room for in its heap is there to stay.
    flat "its memory, KiB" "$out/memory" most 2048
    for name in buffers calls credits receives long_calls; do level "$name" least 0; done
    # Up to a batch is without a completion while nothing follows.
    level sends least 7
    # There are none while there is no connection.
    level windows most 0
}

level() { # NAME most|least SLACK
    jq -r --arg name "$1" '"\(.timestamp) \(.[$name])"' "$out/held" >"$out/level.$1"
    flat "$1 held, at $2" "$out/level.$1" "$2" "$3"
}

flat() { # WHAT FILE most|least SLACK
    local first
    first=$(extreme "$2" "$3" first)
    at_most "$1: $first in the first minute, in the last" "$(extreme "$2" "$3" last)" $((first + $4))
}
