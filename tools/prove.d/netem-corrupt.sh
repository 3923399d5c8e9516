# shellcheck shell=bash disable=SC2034
about='one bit wrong in 1 % of the packets, both ways: only RoCE'\''s checksum can tell (--set percent=N)'
machines=two
seconds_max=500

proof() {
    source tools/prove.d/lib/netem.sh
    both_ends count_arrivals
    mark() { equal "packets refused for their checksum, without corruption" "$(refused)" 0; }
    struck() { at_least "packets refused for their checksum" "$(refused)" 10; }
    prove_netem corrupt "${prove_percent:-1}%"
    both_ends forget_arrivals
}
