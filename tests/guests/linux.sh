#!/bin/bash
# linux.sh OUTDIR [ARCH]: make the Linux guest, OUTDIR/vmlinuz and OUTDIR/initrd.
#
# ARCH is Debian's name of an architecture: amd64, arm64.
#
# The kernel is Debian's (the cloud flavour of amd64) and the user space is busybox-static, both
# fetched with apt-get and unpacked without being installed.  Packages are kept
# in GUESTS_CACHE (default: OUTDIR/cache), and what is there already is used
# again, so only the first run needs the network.  Exit 77: cannot be made here.
#
# The initrd is not compressed: unpacking costs an emulated guest more than
# QEMU takes to copy the whole of it.

set -eu

here=$(cd "$(dirname "$0")" && pwd)
out=${1:?usage: linux.sh OUTDIR [ARCH]}
arch=${2:-amd64}
machine=$arch           # what QEMU calls it
flavour=cloud-$arch
if [ "$arch" = arm64 ]; then
    machine=aarch64
    flavour=arm64       # the cloud's has no driver for the power button
fi
mkdir -p "$out"
out=$(cd "$out" && pwd)
cache=${GUESTS_CACHE:-$out/cache}
work=$out/work

modules='
drivers/virtio/virtio_ring drivers/virtio/virtio drivers/virtio/virtio_mmio
drivers/virtio/virtio_pci_legacy_dev drivers/virtio/virtio_pci_modern_dev
drivers/virtio/virtio_pci
net/core/failover drivers/net/net_failover drivers/net/virtio_net
drivers/acpi/button drivers/input/keyboard/gpio_keys drivers/input/evdev
drivers/char/virtio_console drivers/net/xen-netfront drivers/block/xen-blkfront'

say() { echo "  linux guest: $*"; }
skip() { say "skipped: $*"; exit 77; }

up_to_date() {
    local made
    for made in "$out/vmlinuz" "$out/initrd"; do
        [ -s "$made" ] && [ "$made" -nt "$here/linux.sh" ] &&
            [ "$made" -nt "$here/linux-init" ] &&
            [ "$made" -nt "$here/../../scripts/guest/jitsu-say" ] || return 1
    done
}

foreign() { [ "$arch" != "$(dpkg --print-architecture)" ]; }

# apt-get, or, for another architecture, one with lists of its own.
get_package() {
    if foreign; then
        "$here/../../scripts/foreign-apt.sh" "$cache/apt" "$arch" download "$1"
    else
        apt-get -qq -o APT::Sandbox::User=root download "$1"
    fi
}

# fetch NAME-PATTERN COMMAND: unless a package of that name is in the cache,
# download the one whose name COMMAND prints.  Prints the path.
fetch() {
    local found package
    found=$(find "$cache" -name "$1" -print -quit)
    if [ -z "$found" ]; then
        package=$($2)
        [ -n "$package" ] || return 1
        say "fetching $package" >&2
        (cd "$cache" && get_package "$package" >&2) || return 1
        found=$(find "$cache" -name "$1" -print -quit)
    fi
    echo "$found"
}

# Its name is the same everywhere, but for the flavour.
kernel_package() {
    apt-cache depends linux-image-cloud-amd64:amd64 2>/dev/null |
        awk -v flavour="$flavour" \
            '$1 == "Depends:" && $2 ~ /^linux-image-/ { sub(/cloud-amd64$/, flavour, $2); print $2; exit }'
}

busybox_package() { echo busybox-static; }

fetch_packages() {
    command -v apt-get >/dev/null || skip 'needs apt-get'
    mkdir -p "$cache"
    kernel_deb=$(fetch "linux-image-*-${flavour}_*.deb" kernel_package) ||
        skip 'no package of the kernel (apt-get update?)'
    busybox_deb=$(fetch "busybox-static_*_$arch.deb" busybox_package) ||
        skip 'no package of busybox-static (apt-get update?)'
}

unpack() {
    rm -rf "$work"
    mkdir -p "$work/kernel" "$work/busybox"
    dpkg-deb -x "$kernel_deb" "$work/kernel"
    dpkg-deb -x "$busybox_deb" "$work/busybox"
    busybox=$work/busybox/bin/busybox
    [ -x "$busybox" ] || busybox=$work/busybox/usr/bin/busybox
}

make_kernel() {
    local packed
    packed=$(echo "$work"/kernel/boot/vmlinuz-*)
    if [ "$arch" = arm64 ]; then        # it is not packed
        cp "$packed" "$out/vmlinuz.new"
        return
    fi
    "$here/unpack-kernel.sh" "$packed" "$out/vmlinuz.new" && return
    say 'kernel left packed (no lz4, or of another format): it will boot slower'
    cp "$packed" "$out/vmlinuz.new"
}

# Without debug information and signature a module is smaller, and the kernel
# need not check the one or the other.  What is built in needs no module.
copy_module() {
    local from to
    from=$(echo "$work"/kernel/lib/modules/*/kernel/"$1".ko)
    to=$root/lib/modules/${1##*/}.ko
    [ -e "$from" ] || return 0
    objcopy --strip-debug "$from" "$to" 2>/dev/null || cp "$from" "$to"
}

# Another architecture's busybox runs in QEMU's user emulation.
run_busybox() {
    if foreign; then "qemu-$machine-static" "$busybox" "$@"; else "$busybox" "$@"; fi
}

make_root() {
    local module
    root=$work/root
    mkdir -p "$root"/{bin,sbin,dev,proc,sys,etc/acpi/PWRF,lib/modules,www/cgi-bin}
    cp "$busybox" "$root/bin/busybox"
    run_busybox --list | while read -r name; do
        [ "$name" = busybox ] || ln -s busybox "$root/bin/$name"
    done
    for module in $modules; do
        copy_module "$module"
    done
    install -m 755 "$here/linux-init" "$root/init"
    install -m 755 "$here/../../scripts/guest/jitsu-say" "$root/bin/jitsu-say"
    make_programs
}

# program PATH: an executable shell script from standard input.
program() {
    { echo '#!/bin/busybox sh'; cat; } >"$root/$1"
    chmod 755 "$root/$1"
}

make_programs() {
    program www/cgi-bin/index.cgi <<'END'
read -r name boot </etc/guest
read -r uptime rest </proc/uptime
printf 'Content-Type: text/plain\r\nCache-Control: no-store\r\n\r\n'
printf 'name %s\nboot %s\nuptime %s0 s\n' "$name" "$boot" "$uptime"
END
    program www/cgi-bin/poweroff <<'END'
printf 'Content-Type: text/plain\r\n\r\npowering off\n'
{ sleep 0.1; poweroff -f; } >/dev/null 2>&1 &
END
    program www/cgi-bin/disks <<'END'
printf 'Content-Type: text/plain\r\n\r\n'
cd /sys/block
for disk in xvd*; do
    [ -b "/dev/$disk" ] || continue
    read -r fixed <"$disk/ro"
    echo "$disk ro=$fixed $(sha256sum "/dev/$disk")"
done
END
    program www/cgi-bin/write <<'END'
printf 'Content-Type: text/plain\r\n\r\n'
head -c 512 /etc/guest | dd "of=/dev/$QUERY_STRING" conv=notrunc,fsync && echo written
END
    program www/cgi-bin/crash <<'END'
echo c >/proc/sysrq-trigger
END
    program bin/banner <<'END'
read -r name boot </etc/guest
printf 'name %s ready\r\n' "$name"
exec cat
END
    program bin/dhcp-set <<'END'
[ "$1" = bound ] || exit 0
ip address add "$ip/$mask" dev "$interface"
END
    program sbin/poweroff <<'END'
exec /bin/poweroff -f
END
    program etc/acpi/PWRF/00000080 <<'END'
echo 'power button: bye' >/dev/console
poweroff -f
END
}

make_initrd() {
    make_root
    (cd "$root" && find . | LC_ALL=C sort |
        run_busybox cpio -o -H newc -R 0:0 2>/dev/null) >"$out/initrd.new"
}

if up_to_date; then
    exit 0
fi
! foreign || command -v "qemu-$machine-static" >/dev/null || skip "needs qemu-$machine-static (qemu-user-static)"
fetch_packages
say 'unpacking'
unpack
make_kernel
make_initrd
mv "$out/vmlinuz.new" "$out/vmlinuz"
mv "$out/initrd.new" "$out/initrd"
rm -rf "$work"
say "ready: $(du -h "$out/vmlinuz" | cut -f1) kernel, $(du -h "$out/initrd" | cut -f1) initrd"
