# shellcheck shell=bash disable=SC2034,SC2154
about='all tests that tools/test runs in the machine, against the kernel of --kernel'
prepare=plan_suite
seconds_max=1500

# On the host, where building is quick.
plan_suite() {
    # shellcheck source=../test.d/machine.sh
    source tools/test.d/machine.sh
    plan_machine >"$out/plan"
    [[ -s $out/plan ]]
}

proof() {
    local status=0
    tools/test.d/in-machine "$INITIATOR_OUT/plan" || status=$?
    equal "status of the tests" "$status" 0
}
