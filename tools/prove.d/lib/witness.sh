# The witness (tests/witness): writes with a journal of what it was promised, is killed,
# and its file is held to the journal.
# shellcheck shell=bash disable=SC2034,SC2154

prepare=build_witness
witness=${INITIATOR_OUT:-}/witness
# In memory, so that a line costs little.
journal=/run/witness.journal
witness_log=/run/witness.log

# On the host.
build_witness() {
    local options=(--quiet --locked --package witness)
    [[ $profile == debug ]] || options+=(--release)
    cargo build "${options[@]}" >&2 && cp "$target/$profile/witness" "$out/"
}

witness_url() { echo "nfs://$INITIATOR_KNFSD_ADDR$INITIATOR_EXPORT/$1"; } # FILE

# Begins to write FILE, and waits until some of it is acknowledged.
start_witness() { # FILE SEED [OPTION...]
    local limit=$((SECONDS + 120))
    on_server rm -f "/export/$1"
    resources_before=$(resources) hugepages_before=$(hugepages_free)
    : >"$journal"
    "$witness" write "$(witness_url "$1")" "$journal" --seed "$2" "${@:3}" 2>"$witness_log" &
    witness_pid=$!
    until (($(grep -c '^a' "$journal") >= 100)); do
        kill -0 "$witness_pid" 2>/dev/null || give_up "the witness ended: $(tail -n 3 "$witness_log")"
        ((SECONDS < limit)) || give_up "the witness does not get on: $(tail -n 3 "$witness_log")"
        sleep 0.2
    done
}

# Kills it, and looks at what it leaves in this machine's kernel.
kill_witness() {
    local limit=$((SECONDS + 20))
    # It may be connecting again.
    until (($(witness_queue_pairs))) || ((SECONDS > limit)); do sleep 0.1; done
    equal "queue pairs of the witness" "$(witness_queue_pairs)" 1
    kill -9 "$witness_pid"
    wait "$witness_pid" 2>/dev/null || true
    witness_pid=''
    limit=$((SECONDS + 20))
    # The kernel takes its time to take queue pairs down.
    while [[ $(resources) != "$resources_before" ]] && ((SECONDS < limit)); do sleep 0.2; done
    equal "RDMA resources once it is gone" "$(resources)" "$resources_before"
}

witness_queue_pairs() { rdma resource show qp | grep -c 'comm witness' || true; }

# How many there are of each kind.
resources() { rdma resource show | tr -s ' ' | sed 's/^[0-9]*: //; s/ $//'; }
hugepages_free() { awk '$1 == "HugePages_Free:" { print $2 }' /proc/meminfo; }

# The file as a fresh client sees it, and as the server's machine does.
judge_file() { # FILE [--server-died]
    RUST_BACKTRACE=0 "$witness" fetch "$(witness_url "$1")" "$out/fetched" 2>>"$witness_log" ||
        give_up "a fresh client cannot read it: $(tail -n 3 "$witness_log")"
    hold_to_journal "by a fresh client" fetched "${@:2}"
    on_server cp "/export/$1" "$out/on-server"
    hold_to_journal "on the server" on-server "${@:2}"
}

hold_to_journal() { # WHERE COPY [--server-died]
    local said status=0
    said=$("$witness" check "$journal" "$out/$2" "${@:3}" 2>&1) || status=$?
    told "$1" "$(head -n 1 <<<"$said")"
    equal "units that are not what was promised" "$(sed -n '1s/.*wrong=//p' <<<"$said")" 0
    ((!status)) || { tail -n +2 <<<"$said" | head -n 5; cp "$journal" "$out/journal"; }
}
