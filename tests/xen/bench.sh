#!/bin/bash
# bench.sh: the Xen benchmark's part in dom0; tests/bench/xen.sh has it run, and says what is measured.
set -u
. /host/source/tests/bench/lib.sh
. /host/source/tests/xen/lib.sh
rounds=${BENCH_N:-10}
tool=$BUILD/tests/bench/xen
guest_type=pv
case $XEN_CPU in *npt*) guest_type=pvh ;; esac
kernel=/build/guests/www-$guest_type.elf
stock=/etc/xen/scripts/vif-bridge
raw_ip=10.77.0.40
hold=park

# Figures cannot leave dom0 by a descriptor: they are lines like any other.
figure() { echo "figure $1 $2"; }

begin() {
    local machine=(machine.kernel "\"$dir/images/www\"" machine.machine "\"$guest_type\"" machine.memory '"8MiB"')
    cp "$kernel" "$dir/images/www"
    configure "$(service www 20 stop '"destroy"' "${machine[@]}")" \
        "$(service stay 21 stop '"suspend"' "${machine[@]}")"
    start_jitsud || die "jitsud does not start"
    wait_until "$patience" is_held www && wait_until "$patience" is_held stay || die "not held: $(ctl list)"
    write_xl_config raw 40 "$stock"
    sed -i "s|^kernel = .*|kernel = \"$kernel\"|" "$dir/images/raw.cfg"
}

# As it was before anybody came.  (What paused is held again, too.)
let_sleep() {
    ctl stop "$1" >> "$dir/bench.log" 2>&1
    wait_until "$patience" is_state "$1" "$2" && wait_until "$patience" is_held "$1" ||
        die "$1 does not sleep again: $(ctl show "$1")"
}

wake() { # wake ADDRESS [IFINDEX]: of the VM's port, when it is there
    in_client "$BUILD/tests/bench/hold" wake "/run/netns/$host" "$1" "$dir/trace" "${@:2}"
}

one() { # one WHAT: a measurement, appended to $dir/ms/WHAT
    forget_neighbours
    case $1 in
    helper) "$tool" create $guest_type "$kernel" br0 /build/jitsu-vif 02:00:00:77:00:41 ;;
    stock) "$tool" create $guest_type "$kernel" br0 $stock 02:00:00:77:00:42 ;;
    raw) in_client "$tool" raw "/run/netns/$host" "$dir/images/raw.cfg" $raw_ip; xl destroy raw >&2 ;;
    cold) wake 10.77.0.20; let_sleep www off ;;
    resume) wake 10.77.0.21 "$(cat "/sys/class/net/vif$(domid_of stay).0/ifindex")"; let_sleep stay suspended ;;
    esac >> "$dir/ms/$1" 2>> "$dir/bench.log"
}

all_failures() { cat "$dir"/ms/* | grep -c '^-'; }
# Wakes in which the client had to try again although the VM was ready.
late_wakes() { good "$dir/ms/$1" | cut -d' ' -f9 | grep -vc '^0$'; }
first() { good "$1" | cut -d' ' -f1; }
tell() { first "$2" > "$dir/column"; stat_row "$1" "$dir/column"; }
median_of() { first "$dir/ms/$1" | median; }

trap clean_up EXIT
trap 'exit 1' INT TERM
make_dir && make_networks && mkdir "$dir/ms" || exit 1
begin
wake 10.77.0.21 >> "$dir/bench.log" && let_sleep stay suspended # from now on a wake of it is a resume
for what in helper stock raw cold resume; do one $what; rm -f "$dir/ms/$what"; done # files are in the page cache now
run_rounds "$rounds" helper stock raw cold resume

echo "Xen, emulated (ms); a $guest_type unikernel of 8 MB"
row "" median p10 p90 n
tell "libxl creates a domain, vif by jitsu-vif" "$dir/ms/helper"
tell "the same, vif by the stock vif-bridge" "$dir/ms/stock"
tell "xl create (vif-bridge), exec to first byte" "$dir/ms/raw"
tell "SYN to first byte, the VM was off" "$dir/ms/cold"
tell "SYN to first byte, it was suspended" "$dir/ms/resume"
figure xen_create_ms "$(median_of helper)"
figure xen_create_helper_vs_stock "$(ratio "$(median_of helper)" "$(median_of stock)")"
figure xen_raw_ms "$(median_of raw)"
figure xen_wake_ms "$(median_of cold)"
figure xen_wake_ratio "$(ratio "$(median_of cold)" "$(median_of raw)")"
figure xen_resume_ms "$(median_of resume)"
figure xen_resume_vs_create "$(ratio "$(median_of resume)" "$(median_of cold)")"
figure xen_cold_syn_waits "$(late_wakes cold)"
figure xen_resume_syn_waits "$(late_wakes resume)"
figure xen_failures "$(all_failures)"
echo "  ratios: create $(ratio "$(median_of helper)" "$(median_of stock)"), wake" \
    "$(ratio "$(median_of cold)" "$(median_of raw)"), resume" \
    "$(ratio "$(median_of resume)" "$(median_of cold)"); waits for the client's own timer: $(late_wakes cold) cold," \
    "$(late_wakes resume) resumed; failures: $(all_failures)"
[ "$(late_wakes cold)$(late_wakes resume)" = 00 ] || sed 's/^/# /' "$dir/trace"
[ "$(all_failures)" = 0 ] || sed 's/^/# /' "$dir/bench.log"
