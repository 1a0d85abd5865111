#!/bin/bash
# The hold benchmark: clients that connect to a VM that is off, against QEMU started by hand with the
# same command line; and what forged SYNs cost.
#
#     BENCH_N=30         rounds of the unikernel
#     BENCH_N_LINUX=15   rounds of the Linux guest
#     BENCH_N_FLOOD=15   floods each of a sleeping service and of a reader that discards
#     BENCH_N_CROWD=3    floods with real clients among them
#     BENCH_PARTS="park memory flood crowd"   what of it is measured
#
#     park     a round is interleaved: raw, a connection, a query and a connection; in turning order
#     memory   100,000 SYNs of a service whose VM never answers
#     flood    100,000 SYNs, read from the TAP by synproxy or by a process that forgets them
#     crowd    50 clients of a sleeping service while forged SYNs come to it as fast as they can
#
# Prints tables, and the figures as "name value" lines to descriptor 3.  Readers run on the first CPU,
# the generator on the last.
set -u
. "$(dirname "$0")/lib.sh"
need_root
rounds=${BENCH_N:-30}
rounds_linux=${BENCH_N_LINUX:-15}
rounds_flood=${BENCH_N_FLOOD:-15}
rounds_crowd=${BENCH_N_CROWD:-3}
parts=${BENCH_PARTS:-park memory flood crowd}
tools=$BUILD/tests/bench
cpus=$(nproc)
first_cpu=0
last_cpu=$((cpus - 1))
crowd=50
hold=park
syns=100000     # of one flood
on_link=10.77.0.176 # and 63 more, which nobody has
nowhere=02:00:00:00:88:01 # the MAC of the discarding reader's TAP

wants() { [[ " $parts " == *" $1 "* ]]; }

# ---- jitsud ----

linux_line="console=ttyS0 quiet panic=-1 tsc_early_khz=$(tsc_khz) ip={ip}/{prefix} name={name} boot={boot}"
mute_line="ip={ip}/{prefix} name={name} mute=1"
roomy='"max_starting": 4, "wakes_per_source": "10000/min", "max_held": 262144, "held_per_source": 262144'

begin() { # begin LIMITS SERVICE...: a jitsud for these, all of whose addresses are claimed
    limits=$1 isolation=fast configure "${@:2}"
    start_jitsud || die "jitsud does not start"
    wait_until 30 all_claimed || die "addresses are not claimed: $(ctl list)"
}
all_claimed() {
    local service
    for service in $(ctl --json list | sed -n 's/.*"name": *"\([^"]*\)".*/\1/p'); do
        asleep "$service" || return 1
    done
}
asleep() { [ "$(field stage "$1")" = sleep ]; }
held() { field held "$1"; }
holds() { [ "$(held "$1")" = "$2" ]; }

let_sleep() { # let_sleep SERVICE: as it was before anybody came
    ctl stop "$1" >> "$dir/bench.log" 2>&1
    wait_until 30 asleep "$1" || die "$1 does not sleep again: $(ctl show "$1")"
}

mac_at() { # mac_at IP: whoever answers for it (a ping does not wake)
    in_client ping -c 1 -W 1 "$1" > /dev/null
    ip -n "$client" neigh show "$1" | sed -n 's/.*lladdr \([^ ]*\).*/\1/p'
}

# ---- tables ----

column() { good "$2" | cut -d' ' -f"$1"; } # column N FILE: of the rounds that went well
between() { good "$3" | awk -v a="$1" -v b="$2" '{ print $b - $a }'; } # between N M FILE: column M less column N
tell() { # tell TITLE [COLUMN-COMMAND...]: a row; the numbers are what the command prints
    local v
    v=$("${@:2}")
    row "$1" "$(median <<< "$v")" "$(percentile 95 <<< "$v")" "$(percentile 100 <<< "$v")" "$(grep -c . <<< "$v")"
}

# ---- park ----

one() { # one WHAT: a measurement, appended to $dir/ms/WHAT
    forget_neighbours
    case $1 in
    raw) in_client "$tools/summon" raw "/run/netns/$host" "$dir/raw.argv" 10.77.0.40 ;;
    raw_linux) in_client "$tools/summon" raw "/run/netns/$host" "$dir/raw_linux.argv" 10.77.0.41 ;;
    syn) in_client "$tools/hold" wake "/run/netns/$host" 10.77.0.20 "$dir/trace"; let_sleep www ;;
    dns) in_client "$tools/summon" query $host_ip 53 www.jitsu.example; let_sleep www ;;
    syn_linux) in_client "$tools/hold" wake "/run/netns/$host" 10.77.0.30 "$dir/trace"; let_sleep web ;;
    esac >> "$dir/ms/$1" 2>> "$dir/bench.log"
}

# Of both guests: wakes in which a SYN came too late, and failures of all kinds.
late_wakes() { cat "$dir"/ms/syn "$dir"/ms/syn_linux | cut -d' ' -f9 | grep -vc '^0$'; }
park_failures() { cat "$dir"/ms/syn "$dir"/ms/dns "$dir"/ms/syn_linux | grep -c '^-'; }

park() {
    local raw syn linux_ratio=
    begin '"max_starting": 4, "wakes_per_source": "10000/min"' "$(service www 20)" "$(service web 30 \
        machine.kernel "\"$dir/images/linux\"" machine.initrd "\"$dir/images/initrd\"" machine.memory '"256MiB"' \
        machine.cmdline "\"$linux_line\"" start_timeout '"120s"' max_hold '"120s"')"
    raw_argv "$dir/raw.argv" www 40
    for what in raw syn dns; do one "$what"; rm -f "$dir/ms/$what"; done # files are in the page cache now
    : > "$dir/ms/syn_linux"
    run_rounds "$rounds" raw syn dns
    raw=$(good "$dir/ms/raw" | median)
    syn=$(column 1 "$dir/ms/syn" | median)
    echo "Park: a client of a VM that is off (ms), software emulation unless KVM works"
    row "" median p95 max n
    tell "unikernel, QEMU by hand, exec to first byte" good "$dir/ms/raw"
    tell "SYN to first byte" column 1 "$dir/ms/syn"
    tell "  the SYN leaves the client, after" column 4 "$dir/ms/syn"
    tell "  the VM says its first word, after" column 5 "$dir/ms/syn"
    tell "  it answers ARP, after" column 6 "$dir/ms/syn"
    tell "  its SYN-ACK is at the client, after" column 7 "$dir/ms/syn"
    tell "  from its ARP answer to the first byte" column 3 "$dir/ms/syn"
    tell "    of this, from the SYN-ACK on (the guest's)" between 7 1 "$dir/ms/syn"
    tell "DNS query to first byte, answered at once" good "$dir/ms/dns"
    figure park_raw_ms "$raw"
    figure park_cold_ms "$syn"
    figure park_cold_p95_ms "$(column 1 "$dir/ms/syn" | percentile 95)"
    figure park_cold_max_ms "$(column 1 "$dir/ms/syn" | percentile 100)"
    figure park_cold_ratio "$(ratio "$syn" "$raw")"
    figure park_dns_ms "$(good "$dir/ms/dns" | median)"
    figure park_after_arp_ms "$(column 3 "$dir/ms/syn" | median)"
    figure park_after_arp_p95_ms "$(column 3 "$dir/ms/syn" | percentile 95)"
    figure park_after_arp_max_ms "$(column 3 "$dir/ms/syn" | percentile 100)"
    [ "$rounds_linux" = 0 ] || park_linux
    figure park_syn_waits "$(late_wakes)"
    figure park_failures "$(park_failures)"
    figure park_raw_failures "$(failures "$dir/ms/raw")"
    echo "  ratio: $(ratio "$syn" "$raw")$linux_ratio; waits for the client's own timer: $(late_wakes);" \
        "failures: $(park_failures)"
    stop_jitsud
}

park_linux() {
    local raw syn
    raw_argv "$dir/raw_linux.argv" web 41
    run_rounds "$rounds_linux" raw_linux syn_linux
    raw=$(good "$dir/ms/raw_linux" | median)
    syn=$(column 1 "$dir/ms/syn_linux" | median)
    tell "Linux, QEMU by hand, exec to first byte" good "$dir/ms/raw_linux"
    tell "SYN to first byte" column 1 "$dir/ms/syn_linux"
    tell "  from its ARP answer to the first byte" column 3 "$dir/ms/syn_linux"
    figure park_raw_linux_ms "$raw"
    figure park_cold_linux_ms "$syn"
    figure park_cold_ratio_linux "$(ratio "$syn" "$raw")"
    linux_ratio=", Linux $(ratio "$syn" "$raw")"
    figure park_linux_rounds "$rounds_linux"
}

# ---- memory ----

# What synproxy has, and the memory it shares with the supervisor, which counts as a whole.
hold_memory_kb() {
    local own shared
    own=$(awk '/^[0-9a-f]+-[0-9a-f]+ / { ours = !/\/memfd:/ } /^Pss:/ && ours { n += $2 } END { print n }' \
        "/proc/$(process_pid synproxy)/smaps")
    shared=$(find "/proc/$jitsud_pid/fd" -lname '/memfd:jitsu-held*' -exec stat -L -c %b {} +)
    echo $((own + ${shared:?the supervisor has no memory of held packets} / 2))
}

memory() {
    local before after n
    begin "$roomy" "$(service mute 24 machine.cmdline "\"$mute_line\"" start_timeout '"600s"' max_hold '"600s"')"
    local mac
    mac=$(mac_at 10.77.0.24)
    flood "$mac" 10.77.0.24 1 1 1000 > /dev/null # its VM starts
    wait_until 10 holds mute 1 && wait_state mute booting || die "mute does not boot"
    before=$(hold_memory_kb)
    n=1
    for seed in 2 1000002 2000002; do # twice more for what was lost on the way
        holds mute $((syns + n)) || flood "$mac" 10.77.0.24 "$seed" $((syns + n - $(held mute))) 20000 > /dev/null
        wait_until 3 holds mute $((syns + n))
    done
    after=$(hold_memory_kb)
    n=$(($(held mute) - n))
    echo "Memory: $n held SYNs: $before KiB before, $after KiB after," \
        "$(ratio $(((after - before) * 1024)) "$n") bytes each"
    figure hold_held "$n"
    figure hold_before_kib "$before"
    figure hold_after_kib "$after"
    figure hold_bytes_each "$(ratio $(((after - before) * 1024)) "$n")"
    stop_jitsud
}

# ---- flood ----

flood() { # flood MAC IP SEED COUNT RATE [LOCAL]: prints how many were sent, in how many seconds
    in_client taskset -c "$last_cpu" "$tools/synflood" eth0 "$1" "$2" 80 "$3" "$4" 60 "${@:5}"
}

# What was read from a TAP, and what it dropped.
tap_frames() { in_host awk -v name="$1:" '$1 == name { print $11, $13 }' /proc/net/dev; }
cpu_ns() { cut -d' ' -f1 "/proc/$1/schedstat"; }

# Until nothing is read from it any more.
drained() {
    local before="" now
    now=$(tap_frames "$1")
    while [ "$now" != "$before" ]; do
        sleep 0.2
        before=$now
        now=$(tap_frames "$1")
    done
}

# flood_round FILE PID TAP MAC IP SEED: appends "CPU ns per frame, frames read, dropped, SYNs per second"
flood_round() {
    local pid=$2 tap=$3 cpu sent
    local -a before after
    before=($(tap_frames "$tap"))
    cpu=$(cpu_ns "$pid")
    sent=$(flood "$4" "$5" "$6" "$syns" 0)
    drained "$tap"
    cpu=$(($(cpu_ns "$pid") - cpu))
    after=($(tap_frames "$tap"))
    awk -v cpu=$cpu -v n=$((after[0] - before[0])) -v lost=$((after[1] - before[1])) -v sent="$sent" 'BEGIN {
        split(sent, s, " ")
        printf "%.1f %d %d %d\n", n ? cpu / n : -1, n, lost, (s[2] > 0 ? s[1] / s[2] : -1) }' >> "$dir/ms/$1"
}

start_discarding() {
    nsenter --net="/run/netns/$host" -- taskset -c "$first_cpu" "$tools/discard" discard0 > "$dir/discard" &
    discard_pid=$!
    extra_pids+=" $discard_pid"
    wait_until 5 grep -q ready "$dir/discard" || die "there is no TAP to discard from"
    in_host sysctl -qw net.ipv6.conf.discard0.disable_ipv6=1
    ip -n "$host" link set discard0 txqueuelen 4096 master br0 up
    in_host bridge link set dev discard0 learning off flood on
    in_host bridge fdb replace $nowhere dev discard0 master static
}

flood_cost() {
    local mac pid tap i expired discarded held
    begin "$roomy" "$(service asleep 23 wake_syn '"after-dns"' max_hold '"4s"')"
    start_discarding
    mac=$(mac_at 10.77.0.23)
    pid=$(process_pid synproxy)
    tap=$(ip -n "$host" -br link show type tun | awk '/^jh/ { print $1 }')
    taskset -a -p -c "$first_cpu" "$pid" > /dev/null
    for i in $(seq 0 "$rounds_flood"); do # the first one does not count: memory is touched, caches fill
        flood_round discarded "$discard_pid" discard0 $nowhere 10.77.0.23 "$((i * syns))"
        flood_round held "$pid" "$tap" "$mac" 10.77.0.23 "$((i * syns))"
        sleep 1.2 # counts are told once a second
        held asleep >> "$dir/ms/held_count"
        expired=$(cpu_ns "$pid")
        wait_until 20 holds asleep 0 || die "SYNs stay held: $(held asleep)"
        echo $((($(cpu_ns "$pid") - expired) / syns)) >> "$dir/ms/expired"
        [ "$i" != 0 ] || rm "$dir"/ms/{discarded,held,held_count,expired}
    done
    end_pid "$discard_pid"
    discarded=$(column 1 "$dir/ms/discarded" | median)
    held=$(column 1 "$dir/ms/held" | median)
    echo "Flood: $syns forged SYNs in a row, each of another flow (CPU ns each)"
    row "" median p95 max n
    tell "read and forgotten" column 1 "$dir/ms/discarded"
    tell "read and held" column 1 "$dir/ms/held"
    tell "  and given up at max_hold" column 1 "$dir/ms/expired"
    tell "SYNs per second, to the one" column 4 "$dir/ms/discarded"
    tell "SYNs per second, to the other" column 4 "$dir/ms/held"
    echo "  ratio: $(ratio "$held" "$discarded")," \
        "frames read: $(column 2 "$dir/ms/discarded" | median) and $(column 2 "$dir/ms/held" | median) of $syns," \
        "held of them: $(median < "$dir/ms/held_count")"
    figure flood_discard_ns "$discarded"
    figure flood_held_ns "$held"
    figure flood_expire_ns "$(column 1 "$dir/ms/expired" | median)"
    figure flood_cost_ratio "$(ratio "$held" "$discarded")"
    figure flood_frames_per_s "$(column 4 "$dir/ms/held" | median)"
    figure flood_held_count "$(median < "$dir/ms/held_count")"
    figure flood_dropped "$(column 3 "$dir/ms/held" | median)"
    stop_jitsud
}

# ---- crowd ----

# crowd_round FILE SPREAD-MS: the service sleeps, the flood begins, and the clients right after it
crowd_round() {
    local mac flooding
    mac=$(mac_at 10.77.0.22)
    in_client taskset -c "$last_cpu" "$tools/synflood" eth0 "$mac" 10.77.0.22 80 $RANDOM 4000000000 5 0 $on_link \
        >> "$dir/ms/crowd_sent" &
    flooding=$!
    sleep 0.05
    in_client "$tools/hold" clients 10.77.0.22 10.77.0.100 $crowd "$2" >> "$dir/ms/$1" 2>> "$dir/ms/crowd_why"
    wait $flooding
    let_sleep crowd
}

served() { awk '$2 >= 0 { n++ } END { printf "%.3f", NR ? n / NR : -1 }' "$dir/ms/$1"; }

real_clients() {
    begin '"max_starting": 4, "wakes_per_source": "10000/min"' "$(service crowd 22)"
    ctl start crowd >> "$dir/bench.log" || die "crowd does not start" # files are in the page cache now
    let_sleep crowd
    for _ in $(seq "$rounds_crowd"); do
        crowd_round crowd_at_once 0
        crowd_round crowd_spread 4500
    done
    cat "$dir/ms/crowd_at_once" "$dir/ms/crowd_spread" > "$dir/ms/crowd"
    echo "Crowd: $crowd clients of a sleeping service during 5 s of forged SYNs, $(
        awk '{ n += $1; s += $2 } END { printf "%d", s ? n / s : -1 }' "$dir/ms/crowd_sent") a second"
    row "" median p95 max n
    tell "all at once, to first byte (ms)" cut -d' ' -f2 "$dir/ms/crowd_at_once"
    tell "one after another, to first byte (ms)" cut -d' ' -f2 "$dir/ms/crowd_spread"
    echo "  served: $(served crowd_at_once) and $(served crowd_spread)"
    sort "$dir/ms/crowd_why" | uniq -c # what became of the others
    figure flood_real_clients_served "$(served crowd)"
    figure flood_real_clients_median_ms "$(cut -d' ' -f2 "$dir/ms/crowd" | median)"
    stop_jitsud
}

trap clean_up EXIT
trap 'exit 1' INT TERM
make_dir && make_networks && mkdir "$dir/ms" || exit 1
[ -f "$dir/images/linux" ] || rounds_linux=0
if wants park; then park; fi
if wants memory; then memory; fi
if wants flood; then flood_cost; fi
if wants crowd; then real_clients; fi
exit 0
