#!/bin/bash
# The registry benchmark: many services that came by command.
#
#     BENCH_N=10000      services
#     BENCH_ADDS=200     of them added one by one at the end
#     BENCH_ROUNDS=12    of wakes whose CPU is measured
#
# Prints a table, and the figures as "name value" lines to descriptor 3.
set -u
. "$(dirname "$0")/lib.sh"
need_root
n=${BENCH_N:-10000}
adds=${BENCH_ADDS:-200}
rounds=${BENCH_ROUNDS:-12} # of three wakes each
few_pid=

# services FROM TO: the JSON of an import; each with a name, an address of 10.128.0.0/9 and the unikernel
services() {
    awk -v from="$1" -v to="$2" -v kernel="$dir/images/www.elf" 'BEGIN {
        print "{\"services\": ["
        for (i = from; i < to; i++)
            printf "%s{\"name\": \"s%d\", \"dns\": [\"s%d.jitsu.example\"], \"ip\": [\"10.%d.%d.%d/8\"], \"ports\": [80], \"ttl\": \"1s\", " \
                "\"machine\": {\"kernel\": \"%s\", \"memory\": \"16MiB\", \"cmdline\": \"ip={ip}/{prefix} name={name}\"}}\n",
                (i > from ? "," : ""), i, i, 128 + int(i / 62500), int(i / 250) % 250, i % 250 + 1, kernel
        print "]}"
    }'
}

# address N: of the N-th service
address() { echo "10.$((128 + $1 / 62500)).$(($1 / 250 % 250)).$(($1 % 250 + 1))"; }

# Sum of PSS of our processes, in MiB; QEMU's are not ours.
pss_mib() {
    local pid sum=0 kib
    for pid in "$jitsud_pid" $(cut -d' ' -f1 "$dir"/run/pids/* 2> /dev/null); do
        kib=$(awk '/^Pss:/ { print $2 }' "/proc/$pid/smaps_rollup" 2> /dev/null)
        sum=$((sum + ${kib:-0}))
        printf '  %-28s %8.1f MiB PSS\n' "$(tr '\0' ' ' < "/proc/$pid/cmdline" | sed 's/.*--role \([a-z]*\).*/\1/' | cut -c1-28)" \
            "$(awk -v k="${kib:-0}" 'BEGIN { print k / 1024 }')" >&2
    done
    awk -v k=$sum 'BEGIN { printf "%.1f", k / 1024 }'
}

# poke ADDRESS LABEL TRIES: until anything comes back for LABEL.jitsu.example (dig waits a second for each answer)
poke() {
    local byte i
    for i in $(seq "$3"); do
        exec 3<> "/dev/udp/$1/53"
        printf "\\x12\\x34\\x01\\x00\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x$(printf %02x ${#2})$2\\x05jitsu\\x07example\\x00\\x00\\x01\\x00\\x01" >&3 2> /dev/null
        read -r -t 0.01 -N 1 -u 3 byte 2> /dev/null && return 0
        sleep 0.005
    done
    return 1
}

# exec of jitsud to its first right answer: $start
measure_start() {
    local begin; begin=$(now_ms)
    [ -z "$warm" ] || [ -e "$dir/run/qemu" ] || cp -a "$warm/." "$dir/run/"
    nsenter --net="/run/netns/$host" -- "$BUILD/jitsud" -c "$dir/jitsud.json" >> "$dir/log" 2>&1 &
    jitsud_pid=$!
    in_client bash -c "$(declare -f poke); poke $host_ip s$((n / 2)) 60000" || die "no answer"
    until [ "$(in_client dig +short +tries=1 +timeout=1 "@$host_ip" "s$((n / 2)).jitsu.example" A 2> /dev/null)" = "$(address $((n / 2)))" ]; do
        [ $(( $(now_ms) - begin )) -lt 60000 ] || die "no right answer"
    done
    start=$(( $(now_ms) - begin ))
}

# launcher_us DIR: the CPU that the launcher there has used, all its threads
launcher_us() { cat /proc/"$(cut -d' ' -f1 "$1/run/pids/launcher")"/task/*/schedstat | awk '{ s += $1 } END { printf "%d", s / 1000 }'; }

# Until the launcher has nothing to do: each address is claimed some time after an import.
wait_quiet() {
    local before=-1000000 now quiet=0
    while [ $quiet -lt 3 ]; do
        now=$(launcher_us "$dir")
        [ $((now - before)) -le 10000 ] && quiet=$((quiet + 1)) || quiet=0
        before=$now
        sleep 0.5
    done
}

# A second jitsud, in a host of its own, with ten services: $few.
start_few() {
    few=$dir/run/few
    mkdir -p "$few/run" "$few/state" "$few/images"
    cp "$dir/images/www.elf" "$few/images/"
    ip netns add "$name-few" || return 1
    ip -n "$name-few" link set lo up
    ip -n "$name-few" link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0
    ip -n "$name-few" addr add $host_ip/24 dev br0
    ip -n "$name-few" addr add fd77::1/64 dev br0 nodad
    ip -n "$name-few" link add c0 type veth peer name c1
    ip -n "$name-few" link set c1 up
    ip -n "$name-few" link set c0 master br0 up
    ip -n "$name-few" link set br0 up
    (dir=$few; configure; sed -i 's/"log": "info"/"log": "warn"/' "$dir/jitsud.json"; services 0 10 > "$dir/few.json")
    cp -a "$dir/run/qemu" "$few/run/" 2> /dev/null # what libvirt has asked QEMU; the rest is made anew
    nsenter --net="/run/netns/$name-few" -- "$BUILD/jitsud" -c "$few/jitsud.json" >> "$few/log" 2>&1 &
    few_pid=$!
    wait_until 60 ctl_of "$few" import "$few/few.json" && wait_until 60 ctl_of "$few" start s1 && ctl_of "$few" stop s1 > /dev/null
}

# The launcher's CPU per wake, in us, of those that take turns: here there are many services, there few, and whatever
# else the machine does meets both.  Each wake is another service's than the one before.
measure_wakes() {
    local round which i before service
    mkdir -p "$dir/wakes"
    for round in $(seq "$rounds"); do
        for which in "$few" "$dir"; do
            before=$(launcher_us "$which")
            for i in 1 2 3; do
                service=s$(((round * 3 + i) % 10))
                ctl_of "$which" start "$service" > /dev/null || die "$service does not start"
                ctl_of "$which" stop "$service" > /dev/null || die "$service does not stop"
            done
            sleep 0.2 # its tap is deleted, or set aside
            [ "$round" = 1 ] || echo $((($(launcher_us "$which") - before) / 3)) >> "$dir/wakes/$(basename "$which")"
        done
    done
}

row() { printf '%-34s %12s  %s\n' "$1" "$2" "${3:-}"; }

bench() {
    local begin import_ms adds_s list_ms start few_us many_us pss
    configure
    sed -i 's/"log": "info"/"log": "warn"/' "$dir/jitsud.json"
    services 0 $((n - adds)) > "$dir/many.json"
    start_jitsud || die "jitsud does not start"
    begin=$(now_ms)
    ctl import "$dir/many.json" > /dev/null || die "not imported"
    import_ms=$(( $(now_ms) - begin ))
    begin=$(now_ms)
    local i
    for i in $(seq $((n - adds)) $((n - 1))); do
        ctl add "s$i" --dns "s$i.jitsu.example" --ip "10.250.$((i / 250 % 250)).$((i % 250 + 1))/8" \
            --kernel "$dir/images/www.elf" > /dev/null || die "not added"
    done
    adds_s=$(awk -v n="$adds" -v ms=$(( $(now_ms) - begin )) 'BEGIN { printf "%.0f", n * 1000 / ms }')
    begin=$(now_ms)
    [ "$(ctl list | wc -l)" -ge "$n" ] || die "not all are listed"
    list_ms=$(( $(now_ms) - begin ))
    wait_quiet
    pss=$(pss_mib)
    start_few || die "the second jitsud does not start"
    measure_wakes
    few_us=$(median < "$dir/wakes/few") many_us=$(median < "$dir/wakes/$(basename "$dir")")
    end_pid "$few_pid"
    stop_jitsud
    measure_start
    row "with $n services" ""
    row "import" "$import_ms ms"
    row "add, one by one" "$adds_s /s"
    row "jitsuctl list" "$list_ms ms"
    row "exec to the first right answer" "$start ms"
    row "memory (PSS, all processes)" "$pss MiB"
    row "launcher's CPU per wake" "$many_us us" "with 10 services: $few_us us"
    figure registry_import_10k_ms "$import_ms"
    figure registry_adds_per_s "$adds_s"
    figure jitsuctl_list_10k_ms "$list_ms"
    figure registry_start_10k_ms "$start"
    figure registry_pss_10k_mib "$pss"
    figure wake_cpu_10k_vs_10 "$(ratio "$many_us" "$few_us")"
}

# /run is memory on every host.
trap 'end_pid "$few_pid"; stop_jitsud; end_leftovers; umount "$dir/run" 2> /dev/null; clean_up' EXIT
make_dir
mount -t tmpfs -o mode=755 none "$dir/run" || die "no tmpfs"
make_networks || die "no network namespaces"
bench
