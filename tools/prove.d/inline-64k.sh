# shellcheck shell=bash disable=SC2034
about='inline threshold 64 KiB on both sides: which blocks need no chunk'
options=(--inline 65536)

proof() {
    source tools/prove.d/lib/inline.sh
    prove_inline 65536
}
