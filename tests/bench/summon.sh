#!/bin/bash
# The summon benchmark: a DNS query to the first byte of the page of a VM that was off, against QEMU
# started by hand with the same command line.
#
#     BENCH_N=30         rounds of the unikernel
#     BENCH_N_LINUX=30   rounds of the Linux guest
#
# A round is interleaved: raw, summoned (isolation fast), summoned (strict), in turning order.  Two
# jitsuds run side by side for that, one for each isolation.  Prints the table, and the figures as
# "name value" lines to descriptor 3.
set -u
. "$(dirname "$0")/lib.sh"
need_root
rounds=${BENCH_N:-30}
rounds_linux=${BENCH_N_LINUX:-30}
probe=$BUILD/tests/bench/summon
strict_dir=

# Two daemons: the second's directory is beside the first's, so that clean_up finds all.
start_both() {
    local linux_line="console=ttyS0 quiet panic=-1 tsc_early_khz=$(tsc_khz) ip={ip}/{prefix} name={name} boot={boot}"
    local first=$dir
    strict_dir=$dir/strict
    mkdir -p "$strict_dir/run" "$strict_dir/state"
    cp -r "$dir/images" "$strict_dir/"
    linux_keys=(machine.kernel "\"$dir/images/linux\"" machine.initrd "\"$dir/images/initrd\"" machine.memory '"256MiB"'
        machine.cmdline "\"$linux_line\"" start_timeout '"120s"' max_hold '"120s"')
    isolation=fast configure "$(service www 20)" "$(service stay 22)" "$(service web 30 "${linux_keys[@]}")"
    start_jitsud || die "jitsud (fast) does not start"
    extra_pids+=" $jitsud_pid"
    dir=$strict_dir
    isolation=strict configure "$(service swww 21)"
    sed -i "s/:53\"/:54\"/g" "$dir/jitsud.json"
    start_jitsud || die "jitsud (strict) does not start"
    extra_pids+=" $jitsud_pid"
    jitsud_pid=
    dir=$first
}

one() { # one WHAT: a measurement, appended to $dir/WHAT
    forget_neighbours
    case $1 in
    raw) in_client "$probe" raw "/run/netns/$host" "$dir/raw.argv" 10.77.0.40 ;;
    raw_linux) in_client "$probe" raw "/run/netns/$host" "$dir/raw_linux.argv" 10.77.0.41 ;;
    fast) in_client "$probe" query $host_ip 53 www.jitsu.example; ctl_of "$dir" stop www >&2 ;;
    strict) in_client "$probe" query $host_ip 54 swww.jitsu.example; ctl_of "$strict_dir" stop swww >&2 ;;
    linux) in_client "$probe" query $host_ip 53 web.jitsu.example; ctl_of "$dir" stop web >&2 ;;
    esac >> "$dir/ms/$1" 2>> "$dir/bench.log"
}

# Queries for a service that runs, while VMs are created beside it.
during_boot() {
    local i asking
    in_client "$probe" query $host_ip 53 stay.jitsu.example > /dev/null
    in_client "$probe" rtt $host_ip 53 stay.jitsu.example 200 1000 > "$dir/ms/rtt_idle"
    : > "$dir/ms/rtt"
    for i in $(seq "$rounds"); do
        in_client "$probe" rtt $host_ip 53 stay.jitsu.example 200 1000 >> "$dir/ms/rtt" &
        asking=$!
        one fast
        wait $asking || echo "-1" >> "$dir/ms/rtt"
    done
    head -n "$rounds" "$dir/ms/fast" > "$dir/ms/fast.rounds"
}

trap clean_up EXIT
trap 'exit 1' INT TERM
make_dir && make_networks && mkdir "$dir/ms" || exit 1
[ -f "$dir/images/linux" ] || rounds_linux=0
start_both
raw_argv "$dir/raw.argv" www 40
[ "$rounds_linux" = 0 ] || raw_argv "$dir/raw_linux.argv" web 41
for what in raw fast strict; do one "$what"; rm -f "$dir/ms/$what"; done # files are in the page cache now
run_rounds "$rounds" raw fast strict
[ "$rounds_linux" = 0 ] || run_rounds "$rounds_linux" raw_linux linux
cp "$dir/ms/fast" "$dir/ms/fast.rounds"
during_boot
head -n "$rounds" "$dir/ms/fast" > "$dir/ms/fast.rounds"

raw=$(good "$dir/ms/raw" | median)
fast=$(good "$dir/ms/fast.rounds" | median)
strict=$(good "$dir/ms/strict" | median)
failed=$(( $(failures "$dir/ms/fast") + $(failures "$dir/ms/strict") ))
echo "Summon: DNS query sent to first HTTP byte (ms), software emulation unless KVM works"
row "" median p10 p90 n
stat_row "unikernel, QEMU by hand, from its exec" "$dir/ms/raw"
stat_row "unikernel, summoned, isolation fast" "$dir/ms/fast.rounds"
stat_row "unikernel, summoned, isolation strict" "$dir/ms/strict"
figure raw_boot_ms "$raw"
figure summon_dns_ms "$fast"
figure summon_dns_ratio "$(ratio "$fast" "$raw")"
figure summon_dns_strict_ms "$strict"
figure summon_dns_ratio_strict "$(ratio "$strict" "$raw")"
if [ "$rounds_linux" != 0 ]; then
    raw_linux=$(good "$dir/ms/raw_linux" | median)
    linux=$(good "$dir/ms/linux" | median)
    failed=$((failed + $(failures "$dir/ms/linux")))
    stat_row "Linux, QEMU by hand" "$dir/ms/raw_linux"
    stat_row "Linux, summoned, isolation fast" "$dir/ms/linux"
    figure raw_boot_linux_ms "$raw_linux"
    figure summon_dns_linux_ms "$linux"
    figure summon_dns_ratio_linux "$(ratio "$linux" "$raw_linux")"
fi
stat_row "DNS answer for a running service, alone" "$dir/ms/rtt_idle"
stat_row "DNS answer while VMs are created beside it" "$dir/ms/rtt"
echo "  ratios: fast $(ratio "$fast" "$raw"), strict $(ratio "$strict" "$raw")$(
    [ "$rounds_linux" = 0 ] || echo ", Linux $(ratio "$linux" "$raw_linux")"); failures: $failed;" \
    "DNS p99 while VMs are created: $(good "$dir/ms/rtt" | percentile 99) ms"
figure summon_failures "$failed"
figure summon_raw_failures "$(failures "$dir/ms/raw")"
figure dns_during_boot_p99_ms "$(good "$dir/ms/rtt" | percentile 99)"
figure dns_during_boot_lost "$(failures "$dir/ms/rtt")"
exit 0
