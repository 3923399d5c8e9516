# A client that lives through everything: its memory and what it holds, from the first
# minute to the last.
# shellcheck shell=bash disable=SC2154

# Written and checked for ever, a little at a time, so that most looks find it at rest;
# its connection ends every 300 calls besides whatever else happens.
start_long() { # SECONDS
    local own
    start_job long "$(verify_job 4k 2m 8 verify_backlog=32 fsync=8 rate_iops=12 time_based "runtime=$1")" \
        --status-interval 5
    long_pid=$job_pid job_pid=''
    : >"$out/rss"
    (while own=$(awk '$1 == "VmRSS:" { print $2 }' "/proc/$long_pid/status" 2>/dev/null) && [[ -n $own ]]; do
        echo "$SECONDS $own" >>"$out/rss"
        sleep 5
    done) &
}

# The greatest, or the least, of a column of `SECONDS VALUE` in the first or the last
# minute; beginnings do not count.
extreme() { # FILE most|least first|last
    awk -v which="$2" -v when="$3" '
        { at[NR] = $1; value[NR] = $2 }
        END {
            for (i = 1; i <= NR; i++) {
                inside = when == "first" ? at[i] >= at[1] + 30 && at[i] <= at[1] + 90 : at[i] >= at[NR] - 60
                if (inside && (found == "" || (which == "most" ? value[i] > found : value[i] < found)))
                    found = value[i]
            }
            print found
        }' "$1"
}

# Each level at rest is what it was. What is written and not synced yet is no leak.
end_long() { # SECONDS
    local name first last
    job_pid=$long_pid long_pid=''
    end_job long "$1"
    jq -c . "$out/long.json" >"$out/long.reports"
    tail -n 1 "$out/long.reports" >"$out/long.json"
    echo "  the client that lived through all of it"
    equal "bytes written and not read back right" \
        "$(figure long '[.jobs[] | .write.io_bytes - .read.io_bytes] | add')" 0
    equal "errors of the job" "$(figure long '[.jobs[].error] | add')" 0
    told "MiB verified" "$(figure long '[.jobs[].read.io_bytes] | add / 1048576 | floor')"
    for name in connect_count retransmissions sends; do told "$name" "$(counter long $name)"; done
    for name in bad_reply_count bad_xids stale_completions rdma_errors failed_marshal_count; do
        equal "$name" "$(counter long $name)" 0
    done
    first=$(extreme "$out/rss" most first) last=$(extreme "$out/rss" most last)
    told "samples of memory" "$(wc -l <"$out/rss")"
    told "memory (RSS), KiB, first minute" "$first"
    at_most "memory (RSS), KiB, last minute" "$last" $((first + 1024))
    for name in buffers calls credits sends receives long_calls; do level "$name" least 4; done
    # None while there is no connection.
    level windows most 0
}

level() { # NAME most|least SLACK
    local first last
    # The last report is of the end, when nothing is held.
    jq -r --arg name "$1" 'select(.initiator.mounts[0].held) | "\(.timestamp) \(.initiator.mounts[0].held[$name])"' "$out/long.reports" |
        head -n -1 >"$out/level.$1"
    first=$(extreme "$out/level.$1" "$2" first) last=$(extreme "$out/level.$1" "$2" last)
    told "$1 held, $2 in the first minute" "$first"
    at_most "$1 held, $2 in the last minute" "$last" $((first + $3))
}
