# shellcheck shell=bash disable=SC2034
about='inline threshold 16 KiB on both sides: which blocks need no chunk'
options=(--inline 16384)

proof() {
    source tools/prove.d/lib/inline.sh
    prove_inline 16384
}
