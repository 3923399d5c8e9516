# shellcheck shell=bash disable=SC2034
about='inline threshold 4 KiB on both sides: which blocks need no chunk'

proof() {
    source tools/prove.d/lib/inline.sh
    prove_inline 4096
}
