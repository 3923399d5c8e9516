# shellcheck shell=bash disable=SC2034
# The control of the proof `overtaken`: that it would see what it looks for.
source "$(dirname "${BASH_SOURCE[0]}")/overtaken.sh"
about='the same with a client that returns buffers on the Reply alone, which must be seen on the wire'
features=planted-faults
# This client does not wait for the Acknowledges, and each one that comes puts the device's repetition
# off. So the first is to be later than that, with as many packets out as the device allows (128):
# then nothing is sent, the device repeats them all, and their buffers have long been filled anew.
delay=${prove_delay:-2000ms}

export INITIATOR_PLANTED=ReleaseOnReply

judge_repetitions() { # CHANGED
    at_least "  and then with other bytes: a buffer came back early" "$1" 10
}
