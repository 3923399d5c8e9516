# shellcheck shell=bash source-path=SCRIPTDIR disable=SC2034
about='the client killed (kill -9) amid its writes ten times, and its server with it twice (--set times=N both=N)'
machines=two
options=(--disk 512)
source "$(dirname "${BASH_SOURCE[0]}")/lib/witness.sh"
times=${prove_times:-10} both=${prove_both:-2}
seconds_max=$((120 + 60 * times + 250 * both))

proof() {
    local round
    for ((round = 1; round <= times; round++)); do
        echo "  the client, $round of $times"
        start_witness "witnessed.$round" "$round"
        # Anywhere in what it does.
        sleep "$((RANDOM % 4)).$((RANDOM % 10))"
        kill_with_pages
        judge_file "witnessed.$round"
    done
    for ((round = 1; round <= both; round++)); do
        echo "  the client and the server's machine, $round of $both"
        start_witness "both.$round" "$round"
        sleep "$((RANDOM % 4)).$((RANDOM % 10))"
        kill_with_pages
        ask kill-server
        ask boot-server
        judge_file "both.$round" --server-died
    done
}

kill_with_pages() {
    at_most "hugepages free while it runs" "$(hugepages_free)" $((hugepages_before - 1))
    kill_witness
    equal "hugepages free" "$(hugepages_free)" "$hugepages_before"
}
