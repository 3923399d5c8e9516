# The tests that need the virtual machine: an RDMA device, or knfsd. They are the
# integration tests (tests/ of a package) whose file or whose top module begins
# with one of these words, and those that are #[ignore]d.
# shellcheck shell=bash disable=SC2034

machine_words='ibv|rxe|knfsd'
not_for_machine="not (kind(test) & (binary(/^($machine_words)/) | test(/^($machine_words)/)))"
machine_seconds_max=900
machine_wide_inline=16384
# Those of tools/prove that take seconds and share a boot.
quick_proofs=(transfers nconnect mountstats)

# Options of cargo for the tests that need fio's headers; tools/test sets them.
fio=()

# Lines of: executable, directory of its package.
test_binaries() {
    cargo test --locked --workspace "${fio[@]}" --test '*' --no-run --message-format=json |
        sed -n 's/.*"manifest_path":"\([^"]*\)\/Cargo.toml".*"test":true},"features".*"executable":"\([^"]*\)".*/\2 \1/p'
}

# What a binary has for the machine, one name a line.
tests_for_machine() { # EXECUTABLE
    local all ignored
    all=$("$1" --list --format terse)
    ignored=$("$1" --list --format terse --ignored)
    [[ ${1##*/} =~ ^($machine_words) ]] || all=$(grep -E "^($machine_words)" <<<"$all" || true)
    printf '%s\n' "$all" "$ignored" | sed -n 's/: test$//p' | sort -u
}

# Lines of: directory, executable, test names. Built and listed on the host,
# where that is quick.
plan_machine() {
    local binaries executable directory names
    binaries=$(test_binaries)
    while read -r executable directory; do
        names=$(tests_for_machine "$executable")
        [[ -z $names ]] || echo "$directory" "$executable" "${names//$'\n'/ }"
    done <<<"$binaries"
}

# All of it in one boot; then, where knfsd takes more inline, what depends on that.
in_the_machine() {
    local plan wide status=0
    plan=$(mktemp) wide=$(mktemp)
    plan_machine >"$plan"
    only_inline <"$plan" >"$wide"
    if [[ ! -s $plan ]]; then
        echo "no test for the machine was found: no name begins with $machine_words" >&2
        status=1
    else
        boot "$plan" || status=$?
        [[ ! -s $wide ]] || boot "$wide" --inline "$machine_wide_inline" || status=$?
    fi
    rm "$plan" "$wide"
    return "$status"
}

# Of a plan, the tests about the inline threshold: those of modules `inline`.
only_inline() {
    awk '{
        names = ""
        for (i = 3; i <= NF; i++) if ($i ~ /(^|::)inline::/) names = names " " $i
        if (names != "") print $1, $2 names
    }'
}

boot() { # PLAN [OPTION OF rxe-vm]...
    tools/rxe-vm run --timeout "$machine_seconds_max" "${@:2}" tools/test.d/in-machine "$1"
}
