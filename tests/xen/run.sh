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

skip() { echo "# $*"; exit 77; }

command -v qemu-system-x86_64 > /dev/null || skip "qemu-system-x86_64 is not installed"
free=$(awk '/^MemAvailable/ { print int($2 / 1024) }' /proc/meminfo)
[ "$free" -ge $((memory + 500)) ] || skip "it takes $((memory + 500)) MB of memory, and $free are free"
"$here/image.sh" "$build" || exit
build=$(cd "$build" && pwd)
if [ -n "${RUN:-}" ]; then
    mkdir -p "$RUN" && run=$(cd "$RUN" && pwd) || exit 125
else
    run=$(mktemp -d "$build/xen/run-XXXXXX") || exit 125
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
    local program path root=$run/root lib=usr/lib/x86_64-linux-gnu
    mkdir -p "$root/build/guests" "$root/$lib"
    for program in $programs; do
        [ -x "$build/$program" ] || continue
        mkdir -p "$(dirname "$root/build/$program")"
        strip -o "$root/build/$program" "$build/$program" || return 1
        ldd "$build/$program" 2> /dev/null | awk '$2 == "=>" && $3 ~ /^\// { print $3 }'
    done | sort -u > "$run/libraries"
    while read -r path; do
        grep -qx "$lib/$(basename "$path")" "$build/xen/files" || cp -L "$path" "$root/$lib/"
    done < "$run/libraries"
    for path in "$build"/guests/*.elf; do
        [ ! -f "$path" ] || install -m 644 "$path" "$root/build/guests/"
    done
    cp "$build/xen/dom0.cpio" "$run/dom0.cpio"
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
    options+=(-fsdev "local,id=$1,path=$2,security_model=none${3:-}" -device "virtio-9p-pci,fsdev=$1,mount_tag=$1")
}
share run "$run"
share build "$build" ,readonly=on
share source "$source" ,readonly=on

qemu-system-x86_64 -accel tcg,thread=multi -machine pc -cpu "$cpu" -smp 2 -m "$memory" -display none -nodefaults \
    -no-reboot -serial "file:$run/console" -monitor none -device virtio-rng-pci "${options[@]}" \
    -kernel "$build/xen/xen" -append "console=com1 com1=115200,8n1 dom0_mem=${dom0}M,max:${dom0}M dom0_max_vcpus=1 \
loglvl=warning guest_loglvl=warning" \
    -initrd "$build/xen/vmlinux console=hvc0 panic=-1 loglevel=4 random.trust_cpu=on,$run/dom0.cpio" \
    < /dev/null > "$run/qemu" 2>&1 &
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
