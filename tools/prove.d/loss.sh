# shellcheck shell=bash disable=SC2034
about='1 % of the packets lost, both ways, under a verified job (--set percent=N registration=static)'
machines=two
seconds_max=400
percent=${prove_percent:-1}
# With static keys the device has no binds to repeat: see docs/interop.md.
registration=${prove_registration:-auto}

server() { lose "$percent"; }

proof() {
    lose "$percent"
    run_job loss 300 "$(verify_job 16k 16m 16)" --registration "$registration"
    told "dropped of what the client sent" "$(tc -s qdisc show dev v0 | sed -n 's/.*(\(dropped [0-9]*\),.*/\1/p')"
    heal
    assert_verified loss $((16 << 20))
    told "connections made" "$(counter loss connect_count)"
    told "calls sent again" "$(counter loss retransmissions)"
}
