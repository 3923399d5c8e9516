# The initramfs: busybox, the modules that reach the host's files, and guest/init.
# Built once for each kernel and each guest/init. Sets initramfs.
# shellcheck shell=bash

initramfs_modules=(virtio_pci 9pnet_virtio 9p overlay virtio_console)

copy_modules() { # INTO
    local module path
    for module in "${initramfs_modules[@]}"; do
        modprobe -d "$kernel_dir" -S "$kernel_release" --show-depends "$module"
    done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r path; do
        module=$(basename "$path")
        case $module in
            *.xz) module=${module%.xz}; xz -dc "$path" >"$1/modules/$module" ;;
            *.zst) module=${module%.zst}; zstd -qdc "$path" >"$1/modules/$module" ;;
            *) cp "$path" "$1/modules/" ;;
        esac
        echo "$module" >>"$1/modules/order"
    done
}

prepare_initramfs() {
    local key work
    key=$(cat "$parts/guest/init" "$parts/initramfs.sh" | sha256sum | cut -c1-12)
    initramfs=$cache/initramfs-$kernel_release-$key
    [[ ! -f $initramfs ]] || return 0
    work=$(mktemp -d "$cache/initramfs.XXXXXX")
    mkdir -p "$work"/tree/{bin,modules,proc,sys,dev,lower,over,job}
    cp "$(command -v busybox)" "$work/tree/bin/busybox"
    cp "$parts/guest/init" "$work/tree/init"
    chmod +x "$work/tree/init"
    copy_modules "$work/tree"
    (cd "$work/tree" && find . | cpio --quiet -o -H newc | gzip -1) >"$work/image"
    # By rename: another run may be booting from it.
    mv "$work/image" "$initramfs"
    rm -rf "$work"
}
