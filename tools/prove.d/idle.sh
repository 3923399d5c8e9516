# shellcheck shell=bash disable=SC2034,SC2154
about='an idle mount under adaptive: processor time, and the first call after idle'
prepare=build_tests

# On the host: the program of the whole-system tests.
build_tests() {
    cargo test --quiet --locked --package system-tests --test knfsd --no-run --message-format=json |
        sed -n 's/.*"executable":"\([^"]*\/knfsd-[^"]*\)".*/\1/p' >"$out/tests"
    [[ -s $out/tests ]]
}

proof() {
    local status=0
    "$(<"$INITIATOR_OUT/tests")" adaptive:: --test-threads=1 --nocapture 2>&1 | tee "$out/log" | sed 's/^/   /' || status=$?
    equal "status of the tests" "$status" 0
    at_least "tests that ran" "$(sed -n 's/.* \([0-9]*\) passed.*/\1/p' "$out/log")" 1
}
