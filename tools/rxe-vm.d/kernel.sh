# The guest's kernel: a Debian package, unpacked under the cache and never
# installed. Sets kernel_release and kernel_dir.
# shellcheck shell=bash

# Newest release of a series among what is unpacked already.
unpacked_release() { # SERIES
    local dir
    for dir in "$cache/linux-$1."*; do
        [[ ! -f $dir/vmlinuz ]] || basename "$dir"
    done | sed 's/^linux-//' | sort -V | tail -n1
}

# Newest package of a series that apt can reach; neither cloud (no rxe) nor rt.
packaged_name() { # SERIES [APT OPTION...]
    local series=${1//./\\.}
    shift
    apt-cache "$@" pkgnames linux-image- 2>/dev/null |
        grep -E "^linux-image-$series\.[0-9a-z.+-]*-amd64-unsigned\$" |
        grep -v -E -- '-(cloud|rt)-' | sort -V | tail -n1
}

# Debian 12 has 6.12 in backports; the host's own apt configuration stays as it is.
backports_options() {
    local dir=$cache/apt codename
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-bookworm}")
    mkdir -p "$dir/lists/partial" "$dir/archives/partial"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
        "http://deb.debian.org/debian $codename-backports main" >"$dir/sources.list"
    apt_options=(-o "Dir::Etc::SourceList=$dir/sources.list" -o Dir::Etc::SourceParts=-
        -o "Dir::State::Lists=$dir/lists" -o "Dir::Cache=$dir" -o APT::Sandbox::User=)
    apt-get -qq "${apt_options[@]}" update >&2 || apt_options=()
}

find_package() { # SERIES; sets package and apt_options
    apt_options=()
    package=$(packaged_name "$1") && [[ -n $package ]] && return
    if ((EUID == 0)); then
        apt-get -qq update >&2 || true
        package=$(packaged_name "$1") && [[ -n $package ]] && return
    fi
    backports_options
    ((${#apt_options[@]})) || return 1
    package=$(packaged_name "$1" "${apt_options[@]}") && [[ -n $package ]]
}

unpack_kernel() { # SERIES
    local package apt_options release work
    command -v apt-get >/dev/null || return 1
    find_package "$1" || return 1
    release=${package#linux-image-}
    release=${release%-unsigned}
    say "fetching Linux $release ($package)"
    work=$(mktemp -d "$cache/unpack.XXXXXX")
    (
        cd "$work"
        # Not root's sandbox user: it may not be able to write here.
        apt-get -qq "${apt_options[@]}" -o APT::Sandbox::User= download "$package" >&2 &&
            dpkg-deb -x ./*.deb tree && rm ./*.deb &&
            depmod -b tree "$release" &&
            mv "tree/boot/vmlinuz-$release" tree/vmlinuz &&
            rm -rf tree/usr/share/doc tree/boot && mv -T tree "$cache/linux-$release"
    ) || { rm -rf "$work"; return 1; }
    rm -rf "$work"
}

prepare_kernel() {
    mkdir -p "$cache"
    exec 9>"$cache/lock"
    flock 9
    kernel_release=$(unpacked_release "$kernel_series")
    if [[ -z $kernel_release ]]; then
        if ! unpack_kernel "$kernel_series" && [[ $kernel_series != 6.1 ]]; then
            say "no Linux $kernel_series package within apt's reach; FALLING BACK to 6.1"
            kernel_series=6.1
            [[ -n $(unpacked_release 6.1) ]] || unpack_kernel 6.1 || true
        fi
        kernel_release=$(unpacked_release "$kernel_series")
    fi
    [[ -n $kernel_release ]] ||
        die "no kernel: apt has no linux-image-$kernel_series*-amd64-unsigned (try apt-get update)"
    kernel_dir=$cache/linux-$kernel_release
    exec 9>&-
}
