# The proofs fio-*: real fio, which loads this client as its engine.
# shellcheck shell=bash disable=SC2034,SC2154

machines=two
prepare=build_engine

# On the host: the engine, as a copy that stays as it is.
build_engine() {
    local options=(--quiet --locked --package fio-engine --features fio)
    [[ $profile == debug ]] || options+=(--release)
    tools/deps fio-engine && cargo build "${options[@]}" >&2 &&
        cp "$target/$profile/libinitiator_fio.so" "$out/"
}

# A job file for fio over this client: NAME.job.
fio_job() { # NAME LINE...
    printf '%s\n' '[global]' "ioengine=external:$INITIATOR_OUT/libinitiator_fio.so" thread=1 \
        "nfs_url=nfs://$INITIATOR_KNFSD_ADDR$INITIATOR_EXPORT" mountport=20048 idle=yield \
        "[$1]" "${@:2}" >"$out/$1.job"
}

# Who writes each block so that it can be checked, and checks it.
fio_verify_job() { # NAME LINE...
    fio_job "$1" rw=randwrite verify=crc32c bs=4k size=2m iodepth=8 fsync=64 "${@:2}"
}

start_fio_server() { # ADDRESS
    (cd "$out" && exec fio --server="$1" >"$out/server-$1.log" 2>&1) &
    fio_server=$!
}

# Connected to and closed again: it does not mind.
wait_for_fio_server() { # ADDRESS
    local limit=$((SECONDS + 60))
    until (exec 3<>"/dev/tcp/$1/8765") 2>/dev/null; do
        ((SECONDS < limit)) || give_up "fio --server at $1 does not listen"
        sleep 0.2
    done
}
