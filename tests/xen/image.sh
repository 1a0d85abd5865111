#!/bin/bash
# image.sh BUILD: what a nested Xen machine boots from, in BUILD/xen:
#
#     xen         the hypervisor
#     vmlinux     dom0's kernel, unpacked (emulated, that is quicker than having Xen do it)
#     dom0.cpio   dom0's root: Xen's tools, busybox, programs of this host that tests use, and kernel modules
#     files       the paths of the files in it
#     debs/       the packages they come from; none is installed
#
# With ARCH=arm64: the same of that architecture in BUILD/xen-arm64, where dom0's programs come from packages, too,
# and a small Linux guest is made, for want of another:
#
#     guest.cpio  its root; vmlinux is its kernel
#
# Does nothing if all is there.  Only the first run needs the network.  Exit 77: cannot be made here.
# run.sh boots it; README.md describes it.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
arch=${ARCH:-amd64}
case $arch in
amd64)
    out=${1:?usage: image.sh BUILD}/xen
    all='xen vmlinux dom0.cpio files'
    lib=usr/lib/x86_64-linux-gnu
    emulate=
    virtio=virtio_pci
    ;;
arm64)
    out=${1:?usage: image.sh BUILD}/xen-arm64
    all='xen vmlinux dom0.cpio files guest.cpio'
    lib=usr/lib/aarch64-linux-gnu
    emulate=qemu-aarch64-static
    virtio=virtio_mmio
    ;;
*)
    echo "image.sh: ARCH is amd64 or arm64" >&2
    exit 2
    ;;
esac
mkdir -p "$out/debs"
linux_guest=$(cd "$1" && pwd)/guests/linux/initrd
out=$(cd "$out" && pwd)
work=$out/work
root=$work/root

release=4.17
bin=usr/lib/xen-$release/bin

# What is unpacked into dom0's root.
root_packages="xen-utils-$release xen-utils-common xenstore-utils libxenmisc$release libxencall1 libxendevicemodel1
    libxenevtchn1 libxenforeignmemory1 libxengnttab1 libxenhypfs1 libxenstore4 libxentoolcore1 libxentoollog1
    libyajl2 libfdt1 libnl-3-200 libnl-route-3-200 busybox-static"
# Where something is taken from (and the kernel, whose name changes).
other_packages="xen-hypervisor-$release-$arch"
# Where dom0's programs are from unless they are this host's, with all that these packages depend on.
program_packages='bash coreutils iproute2 curl bind9-dnsutils procps util-linux iputils-ping mawk findutils grep
    sed mount libgcc-s1'

# Programs of this host, with their libraries.  What is not here is busybox's.
host_programs='bash cat chmod cp cut date dirname env head id install ln ls mkdir mktemp mv paste readlink rm sed seq
    sleep sort stat tail tee timeout touch tr uname uniq wc grep find xargs awk mawk pgrep pkill ps ip bridge tc ss
    nsenter unshare mount umount flock setsid setpriv prlimit curl dig ping'
optional_programs='strace tcpdump ethtool nft bpftool xz'

# With what they need.  The rest of the network's modules is loaded by the kernel as it needs them.
modules='xen-evtchn xen-gntdev xen-gntalloc xenfs xen-privcmd xen-netback xen-blkback
    virtio_rng 9p 9pnet_virtio bridge tun veth dummy sch_ingress cls_bpf act_bpf loop'

modules+=" $virtio"

say() { echo "  nested xen: $*"; }
skip() { say "skipped: $*"; exit 77; }

up_to_date() {
    local made source
    for made in $all; do
        [ -s "$out/$made" ] || return 1
        for source in "$here/image.sh" "$here/dom0-init"; do
            [ "$out/$made" -nt "$source" ] || return 1
        done
    done
    [ "$arch" = amd64 ] || [ "$out/guest.cpio" -nt "$linux_guest" ]
}

# Of this host's architecture by its own apt, else by one with a state of its own.
apt() {
    if [ "$arch" = amd64 ]; then
        apt-get -qq -o APT::Sandbox::User=root "$@"
    else
        "$here/../../scripts/foreign-apt.sh" "$out/apt" "$arch" "$@"
    fi
}

kernel_package() {
    apt --simulate install "linux-image-$arch" 2>/dev/null |
        awk '$1 == "Inst" && $2 ~ /^linux-image-[0-9]/ { print $2; exit }'
}
amd64_kernel_package() {
    apt-cache depends linux-image-amd64:amd64 2>/dev/null |
        awk '$1 == "Depends:" && $2 ~ /^linux-image-/ { print $2; exit }'
}

deb_of() { find "$out/debs" -name "$1_*.deb" -print -quit; }

fetch_packages() {
    local package missing=''
    command -v apt-get >/dev/null || skip 'needs apt-get'
    kernel=$(basename "$(deb_of 'linux-image-*')" | cut -d_ -f1)
    [ -n "$kernel" ] || kernel=$(if [ "$arch" = amd64 ]; then amd64_kernel_package; else kernel_package; fi)
    [ -n "$kernel" ] || skip 'no package of the kernel is known (apt-get update?)'
    for package in $kernel $root_packages $other_packages; do
        [ -n "$(deb_of "$package")" ] || missing+=" $package"
    done
    if [ -n "$missing" ]; then
        say "fetching$missing" | tr -s ' \n' ' ' && echo
        # shellcheck disable=SC2086
        (cd "$out/debs" && apt download $missing) || skip 'its packages cannot be fetched (apt-get update?)'
    fi
    # shellcheck disable=SC2086
    [ "$arch" = amd64 ] || apt install --yes --download-only $program_packages ||
        skip 'the packages of its programs cannot be fetched'
}

unpack_packages() {
    local package
    rm -rf "$work"
    mkdir -p "$root" "$work/other"
    for package in $kernel $other_packages; do
        dpkg-deb --fsys-tarfile "$(deb_of "$package")" | tar -x -C "$work/other"
    done
    for package in $root_packages; do
        dpkg-deb --fsys-tarfile "$(deb_of "$package")" | tar -x -C "$root"
    done
    if [ "$arch" != amd64 ]; then
        mkdir -p "$work"/programs/usr/{bin,sbin,lib}
        ln -s usr/bin usr/sbin usr/lib "$work/programs/"
        for package in "$out"/apt/cache/archives/*.deb; do
            dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink -C "$work/programs"
        done
    fi
    release_dir=$(basename "$work"/other/lib/modules/*)
}

make_xen() {
    if [ "$arch" = arm64 ]; then # neither is packed
        cp "$work/other/boot/xen-$release-arm64" "$out/xen.new"
        cp "$work"/other/boot/vmlinuz-* "$out/vmlinux.new"
        return
    fi
    gunzip -c "$work/other/boot/xen-$release-amd64.gz" > "$out/xen.new"
    "$here/../guests/unpack-kernel.sh" "$work"/other/boot/vmlinuz-* "$out/vmlinux.new" ||
        cp "$work"/other/boot/vmlinuz-* "$out/vmlinux.new"
}

# Everything lies below /usr, as on Debian; what is not needed goes.
tidy_root() {
    local dir
    for dir in bin sbin lib lib64; do
        mkdir -p "$root/usr/$dir"
        [ ! -d "$root/$dir" ] || cp -a "$root/$dir/." "$root/usr/$dir/"
        rm -rf "${root:?}/$dir"
        ln -s "usr/$dir" "$root/$dir"
    done
    (cd "$root" && rm -rf usr/share usr/lib/xen-$release/{boot/xen-shim,lib} var usr/sbin/xl "$lib/perl5" \
        "$bin"/{test-*,oxenstored,flask*,xen-kdd})
    mkdir -p "$root"/{proc,sys,dev,tmp,root,host/{run,build,source}} "$root"/run/{xen,lock,xenstored,xen-hotplug} \
        "$root"/var/{log/xen,lib/xen,lib/xenstored}
    ln -s ../run "$root/var/run"
    ln -s ../run/lock "$root/var/lock"
    chmod 1777 "$root/tmp"
    ln -s "../lib/xen-$release/bin/xl" "$root/usr/sbin/xl"
}

program_path() {
    case $arch in
    amd64) command -v "$1" ;;
    *) find "$work"/programs/usr/{bin,sbin} -name "${1/#awk/mawk}" -print -quit | grep . ;;
    esac
}

copy_programs() {
    local program path
    for program in $host_programs $optional_programs; do
        path=$(program_path "$program") || {
            case " $host_programs " in *" $program "*) skip "$program is not installed" ;; *) continue ;; esac
        }
        cp -L "$path" "$root/usr/bin/$program"
    done
    ln -s bash "$root/usr/bin/sh"
    $emulate "$root/usr/bin/busybox" --list | while read -r program; do
        [ -e "$root/usr/bin/$program" ] || [ -L "$root/usr/bin/$program" ] || [ -e "$root/usr/sbin/$program" ] ||
            ln -s busybox "$root/usr/bin/$program"
    done
    ln -sf ../bin/busybox "$root/usr/sbin/modprobe"
}

# The libraries that programs name, and that dom0 does not have from its packages.
copy_libraries() {
    local path
    if [ "$arch" != amd64 ]; then
        "$here/libraries.sh" "$root/$lib" "$work/programs/$lib" -- "$root" > "$work/libraries"
        xargs -a "$work/libraries" cp -nL -t "$root/$lib/"
        cp -L "$work/programs/$lib/ld-linux-aarch64.so.1" "$root/usr/lib/"
        return
    fi
    # shellcheck disable=SC2016
    find "$root/usr" -type f \( -perm -100 -o -name '*.so*' \) -print0 |
        xargs -0 -n 1 sh -c 'LD_LIBRARY_PATH=$0 ldd "$1" 2>/dev/null' "$root/$lib" |
        awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u > "$work/libraries"
    while read -r path; do
        [ -e "$root/$lib/$(basename "$path")" ] || cp -L "$path" "$root/$lib/"
    done < "$work/libraries"
    cp -L /lib64/ld-linux-x86-64.so.2 "$root/usr/lib64/"
    cp -L "$(gcc -print-file-name=libgcc_s.so.1)" "$root/$lib/"
}

# Without debug information and signatures they are smaller, and nobody checks the one or the other.
copy_modules() {
    local kmod from=$work/other path to
    mkdir -p "$work/tools" "$root/usr/lib/modules/$release_dir"
    kmod=$(command -v kmod) || skip 'kmod is not installed'
    ln -s "$kmod" "$work/tools/depmod"
    ln -s "$kmod" "$work/tools/modprobe"
    "$work/tools/depmod" -b "$from" "$release_dir"
    # shellcheck disable=SC2086
    "$work/tools/modprobe" -d "$from" -S "$release_dir" -a --show-depends $modules 2>/dev/null |
        awk '$1 == "insmod" { print $2 }' | sort -u > "$work/modules"
    [ -s "$work/modules" ] || { say 'no kernel module was found'; exit 1; }
    while read -r path; do
        to=$root/usr/lib/modules/$release_dir/${path#*/"$release_dir"/}
        mkdir -p "${to%/*}"
        "${objcopy[@]}" --strip-debug "$path" "$to" 2>/dev/null || cp "$path" "$to"
    done < "$work/modules"
    cp "$from/lib/modules/$release_dir"/modules.{builtin,order,builtin.modinfo} "$root/usr/lib/modules/$release_dir/"
    "$work/tools/depmod" -b "$root" "$release_dir"
}

# The users of jitsud, as scripts/deps.sh makes them.
make_accounts() {
    local id=900 user
    {
        echo 'root:x:0:0:root:/root:/bin/bash'
        echo 'nobody:x:65534:65534::/:/bin/false'
    } > "$root/etc/passwd"
    { echo 'root:x:0:'; echo 'nogroup:x:65534:'; } > "$root/etc/group"
    for user in jitsu-dns jitsu-net jitsu-ctl jitsu-hooks libvirt-qemu jitsu jitsu-admin kvm; do
        echo "$user:x:$id:" >> "$root/etc/group"
        case $user in
        jitsu-*|libvirt-qemu) echo "$user:x:$id:$id::/nonexistent:/bin/false" >> "$root/etc/passwd" ;;
        esac
        id=$((id + 1))
    done
    echo dom0 > "$root/etc/hostname"
    printf '127.0.0.1 localhost\n::1 localhost\n' > "$root/etc/hosts"
    : > "$root/etc/fstab"
    printf '%032x\n' 0x4a17 > "$root/etc/machine-id"
}

pack() { (cd "$1" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 2>/dev/null); }

# The Linux guest of tests/guests, with another busybox, and the drivers of Xen.
make_guest() {
    local guest=$work/guest
    mkdir "$guest"
    (cd "$guest" && cpio -i --quiet < "$linux_guest")
    rm -f "$guest"/lib/modules/*
    cp "$root/usr/bin/busybox" "$guest/bin/"
    "${objcopy[@]}" --strip-debug "$(find "$work/other/lib/modules" -name xen-netfront.ko)" \
        "$guest/lib/modules/xen-netfront.ko"
    pack "$guest" > "$out/guest.cpio.new"
}

make_root() {
    tidy_root
    copy_programs
    copy_libraries
    copy_modules
    make_accounts
    sed "s|@bin@|/$bin|g" "$here/dom0-init" > "$root/init"
    chmod 755 "$root/init"
    pack "$root" > "$out/dom0.cpio.new"
    (cd "$root" && find . ! -type d -printf '%P\n') > "$out/files.new"
}

objcopy=(objcopy)
[ "$arch" = amd64 ] || objcopy=(aarch64-linux-gnu-objcopy)
if [ "$arch" = amd64 ]; then
    [ "$(uname -m)" = x86_64 ] || skip 'for x86-64 only'
else
    for tool in "$emulate" "${objcopy[0]}"; do
        command -v "$tool" >/dev/null || skip "$tool is not installed"
    done
    [ -s "$linux_guest" ] || skip 'the Linux guest is not built (make guests-linux)'
fi
if up_to_date; then
    exit 0
fi
fetch_packages
say 'unpacking'
unpack_packages
make_xen
make_root
[ "$arch" = amd64 ] || make_guest
for made in $all; do
    mv "$out/$made.new" "$out/$made"
done
rm -rf "$work"
say "ready: $(du -m "$out/vmlinux" | cut -f1) MB kernel, $(du -m "$out/dom0.cpio" | cut -f1) MB root"
