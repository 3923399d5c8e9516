# shellcheck shell=bash disable=SC2034
# The control of the proof `overtaken`: that it would see what it looks for.
source "$(dirname "${BASH_SOURCE[0]}")/overtaken.sh"
about='the same with a client that returns buffers on the Reply alone, which must be seen on the wire'
features=planted-faults

judge_repetitions() { # CHANGED
    at_least "  and then with other bytes: a buffer came back early" "$1" 10
}
