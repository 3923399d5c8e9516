# Which accelerator: KVM where it runs this kernel, else emulation (TCG).
# Sets accel, QEMU's accel_args and the kernel's accel_append.
# shellcheck shell=bash

# A /dev/kvm may be there and not work (it can hang in the guest's first
# instructions), so this boots the kernel and waits for a word from guest/init.
kvm_boots() {
    local answer
    [[ -r /dev/kvm && -w /dev/kvm ]] || return 1
    answer=$(timeout -k 1 8 qemu-system-x86_64 -machine q35,accel=kvm -cpu host -m 512 \
        -display none -nodefaults -no-reboot -serial stdio \
        -kernel "$kernel_dir/vmlinuz" -initrd "$initramfs" \
        -append "console=ttyS0 panic=-1 quiet rxevm=probe" </dev/null 2>/dev/null) || true
    [[ $answer == *"probe ok"* ]]
}

# The emulated time stamp counter is this host's. A guest that measures its rate while
# the host is busy gets it wrong, and then lives several times too fast: it is told,
# where this host knows (what it shows as MHz is that rate if nothing scales the CPUs).
tsc_rate() {
    local khz
    [[ ! -e /sys/devices/system/cpu/cpu0/cpufreq ]] && grep -qw constant_tsc /proc/cpuinfo || return 0
    khz=$(awk -F ': *' '/^cpu MHz/ { printf "%d", $2 * 1000; exit }' /proc/cpuinfo)
    [[ -z $khz ]] || echo " tsc_early_khz=$khz"
}

prepare_accel() {
    local known
    if [[ $accel == auto ]]; then
        # What the probe found holds for this host and kernel until it reboots.
        known=$cache/accel-$(cat /proc/sys/kernel/random/boot_id)-$kernel_release
        if [[ ! -f $known ]]; then
            rm -f "$cache"/accel-*
            if kvm_boots; then echo kvm >"$known"; else echo tcg >"$known"; fi
        fi
        accel=$(<"$known")
    fi
    case $accel in
        kvm)
            accel_args=(-machine q35,accel=kvm -cpu host)
            accel_append=mitigations=off
            ;;
        tcg)
            # With -cpu max two emulated CPUs oops in static-key patching. With
            # Nehalem they still do now and then, so the kernel boots on one and
            # guest/setup wakes the others when most of its patching is over.
            accel_args=(-machine q35 -accel "tcg,thread=multi" -cpu Nehalem)
            # Without tsc=reliable the guest falls back to the slow HPET.
            accel_append="mitigations=off tsc=reliable$(tsc_rate) maxcpus=1 noreplace-smp"
            ;;
        icount)
            # Time is the instructions that both CPUs have executed, 4 ns each, and the
            # counter of a CPU counts its nanoseconds.
            accel_args=(-machine q35 -accel "tcg,thread=single" -icount shift=2 -cpu Nehalem)
            accel_append="mitigations=off tsc=reliable tsc_early_khz=1000000 maxcpus=1 noreplace-smp"
            ;;
    esac
}
