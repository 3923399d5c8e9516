# shellcheck shell=bash disable=SC2034
about='1 % of the packets lost, both ways, under a verified job (--set percent=N registration=static)'
machines=two
seconds_max=400

proof() {
    source tools/prove.d/lib/netem.sh
    struck() { at_least "packets dropped" "$(netem_drops)" 1; }
    prove_size=16m
    prove_netem loss "${prove_percent:-1}%"
}
