#!/bin/bash
# run.sh BUILD SCRIPT [SECONDS]: boots nested Xen (image.sh), runs SCRIPT with bash in dom0, prints what it says,
# and exits with its status; 124 if that took longer than SECONDS (300), 77 if it cannot run here, 125 if the machine
# died.
#
# In dom0:  /build          our programs, stripped, and the guests: what make BUILD=... has made so far
#           /host/build     BUILD itself, /host/source the source tree, both to be read only
#           /host/run       a directory of this run, to be written: script, output, status, environment, console
#
#     CPU=qemu64,+npt     a machine with nested pages: PVH guests (qemu64: PV only)
#     MEMORY, DOM0        MB of the machine (1280), of dom0 (640)
#     RUN=DIR             the directory of this run, made and kept; else it is made, and removed at the end
#     PASS='A=1 2'        one more variable for the script, which also gets LONG, KEEP, PATIENCE, SLOWNESS
#     ARCH=arm64          Xen, dom0 and our programs (BUILD-arm64) are arm64's; so are the guests
set -u

here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
build=${1:?usage: run.sh BUILD SCRIPT [SECONDS]}
script=${2:?usage: run.sh BUILD SCRIPT [SECONDS]}
limit=${3:-300}
cpu=${CPU:-qemu64}
memory=${MEMORY:-1280}
dom0=${DOM0:-640}

# What dom0 gets of BUILD, where it is there.
programs='jitsud jitsuctl jitsu-libxl jitsu-hooks jitsu-vif tests/system/packets tests/backends/test_contract
    tests/backends/test_vif tests/bench/xen tests/bench/hold'

arch=${ARCH:-amd64}
case $arch in
amd64) emulator=qemu-system-x86_64 xen=xen suffix='' strip=strip bus=pci lib=usr/lib/x86_64-linux-gnu
    kernels='*.elf'
    ;;
arm64)
    emulator=qemu-system-aarch64 xen=xen-arm64 suffix=-arm64 strip=aarch64-linux-gnu-strip bus=device
    lib=usr/lib/aarch64-linux-gnu
    kernels='*-xen-arm64.img'
    cpu=${CPU:-cortex-a57}
    memory=${MEMORY:-1792}
    ;;
*) echo "run.sh: ARCH is amd64 or arm64" >&2; exit 125 ;;
esac

skip() { echo "# $*"; exit 77; }

command -v $emulator > /dev/null || skip "$emulator is not installed"
free=$(awk '/^MemAvailable/ { print int($2 / 1024) }' /proc/meminfo)
[ "$free" -ge $((memory + 500)) ] || skip "it takes $((memory + 500)) MB of memory, and $free are free"
"$here/image.sh" "$build" || exit
xen=$(cd "$build/$xen" && pwd)
guests=$(cd "$build/guests" 2> /dev/null && pwd)
build=$(cd "$build$suffix" && pwd) || exit 125
if [ -n "${RUN:-}" ]; then
    mkdir -p "$RUN" && run=$(cd "$RUN" && pwd) || exit 125
else
    run=$(mktemp -d "$xen/run-XXXXXX") || exit 125
fi
machine=
output=
# shellcheck disable=SC2317
clean_up() {
    trap - EXIT INT TERM
    [ -z "$machine" ] || kill "$machine" 2> /dev/null
    [ -z "$output" ] || kill "$output" 2> /dev/null
    rm -rf "$run/root" "$run/dom0.cpio"
    rm -f "$run"/{go,status,output}.*
    if [ -n "${RUN:-}" ]; then touch "$run/ended"; else rm -rf "$run"; fi
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# Our programs as they are now, with the libraries that dom0 does not have, behind dom0's root: a kernel takes
# several archives, one after the other.
add_programs() {
    local program path root=$run/root
    mkdir -p "$root/build/guests" "$root/$lib"
    for program in $programs; do
        [ -x "$build/$program" ] || continue
        mkdir -p "$(dirname "$root/build/$program")"
        $strip -o "$root/build/$program" "$build/$program" || return 1
        if [ "$arch" = amd64 ]; then
            ldd "$build/$program" 2> /dev/null | awk '$2 == "=>" && $3 ~ /^\// { print $3 }'
        else
            "$here/libraries.sh" "$build/root/$lib" -- "$build/$program"
        fi
    done | sort -u > "$run/libraries"
    while read -r path; do
        grep -qx "$lib/$(basename "$path")" "$xen/files" || cp -L "$path" "$root/$lib/"
    done < "$run/libraries"
    for path in "$guests"/$kernels; do
        [ ! -f "$path" ] || install -m 644 "$path" "$root/build/guests/"
    done
    [ "$arch" = amd64 ] || mkdir "$root/build/guests/linux"
    [ "$arch" = amd64 ] || ln "$xen/vmlinux" "$root/build/guests/linux/vmlinuz" || return 1
    [ "$arch" = amd64 ] || cp "$xen/guest.cpio" "$root/build/guests/linux/initrd" || return 1
    cp "$xen/dom0.cpio" "$run/dom0.cpio"
    (cd "$root" && find . | cpio -o -H newc -R 0:0 2> /dev/null) >> "$run/dom0.cpio"
}

add_programs || { echo "run.sh: the programs cannot be packed"; exit 125; }
cp "$script" "$run/script" || exit 125
: > "$run/output"
rm -f "$run"/{ended,status}
for variable in LONG KEEP PATIENCE SLOWNESS; do
    [ -z "${!variable:-}" ] || printf 'export %s=%q\n' "$variable" "${!variable}"
done > "$run/environment"
for variable in ${PASS:+"$PASS"} BUILD=/build "XEN_CPU=$cpu"; do
    printf 'export %s=%q\n' "${variable%%=*}" "${variable#*=}"
done >> "$run/environment"

# share TAG DIRECTORY [OPTION]: a directory that dom0 mounts
options=()
share() {
    options+=(-fsdev "local,id=$1,path=$2,security_model=none${3:-}" -device "virtio-9p-$bus,fsdev=$1,mount_tag=$1")
}
share run "$run"
share build "$build" ,readonly=on
share source "$source" ,readonly=on

options+=(-accel "tcg,thread=multi" -cpu "$cpu" -smp 2 -m "$memory" -display none -nodefaults -no-reboot
    -serial "file:$run/console" -monitor none -device "virtio-rng-$bus" -kernel "$xen/xen")
xen_words="dom0_mem=${dom0}M,max:${dom0}M dom0_max_vcpus=1 loglvl=warning guest_loglvl=warning"
dom0_words="console=hvc0 panic=-1 loglevel=4 random.trust_cpu=on"
case $arch in
amd64)
    options+=(-machine pc -append "console=com1 com1=115200,8n1 $xen_words"
        -initrd "$xen/vmlinux $dom0_words,$run/dom0.cpio")
    ;;
arm64) # the loader tells Xen of dom0 by the device tree; in between there is room for the kernel
    options+=(-machine 'virt,virtualization=on,gic-version=2'
        -append "console=dtuart dtuart=/pl011@9000000 ${xen_words/,max:*M dom0_max/ dom0_max}"
        -device "guest-loader,addr=0x50000000,kernel=$xen/vmlinux,bootargs=$dom0_words"
        -device "guest-loader,addr=0x58000000,initrd=$run/dom0.cpio")
    ;;
esac
$emulator "${options[@]}" < /dev/null > "$run/qemu" 2>&1 &
machine=$!
tail -n +1 -f --pid=$machine "$run/output" &
output=$!

began=$SECONDS
status=
while kill -0 $machine 2> /dev/null; do
    [ $((SECONDS - began)) -lt "$limit" ] || { status=124; kill $machine; break; }
    sleep 0.2
done
wait $machine 2> /dev/null
machine=
wait $output
output=
[ -n "$status" ] || status=$(cat "$run/status" 2> /dev/null)
case ${status:-} in
124) echo "run.sh: not done after $limit s" ;;
'') echo "run.sh: the machine ended by itself"; status=125 ;;
*) exit "$status" ;;
esac
echo "run.sh: the console's last words:"
cat "$run/qemu"
tail -n 15 "$run/console" | tr -d '\r'
exit "$status"
