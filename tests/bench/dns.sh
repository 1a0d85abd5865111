#!/bin/bash
# The DNS benchmark: what an answer costs, against NSD and Knot in the same run, with the same zone and
# the same answers.
#
#     BENCH_N=15            rounds of each comparison
#     BENCH_QUERIES=40000   queries to each server in a round
#     BENCH_PARTS="cpu full size latency signed xdp"   what of it is measured
#
#     cpu      10,000 names, 10 % of the queries for names that are not there; against both
#     full     the same with cookies and rate limits on; against NSD
#     size     100,000 names against 1,000, and what they take of memory
#     latency  one query at a time; against NSD
#     signed   queries that want signatures (DO); against Knot, which signs as it answers
#     xdp      names of services that are up, over a veth pair; against NSD
#
# A server's cost is the CPU time of all its processes and threads (schedstat) for each answer it gave.
# All of a server's run on the first CPU, the generator on the last.  In each round each server is asked
# in turn; figures are medians of the rounds' ratios.  Before anything is measured thousands of queries
# are asked of each server, and their answers compared.
#
# Over loopback and veth alike the sender's CPU takes a packet through the receiver's network stack, up
# to its socket.  So a server's answers cost it what the generator's side does with them, and its queries
# cost it nothing before they are in its socket; that is the same for all.  (But for xdp: see there.)
#
# Prints tables, and the figures as "name value" lines to descriptor 3.
set -u
. "$(dirname "$0")/lib.sh"
need_root
rounds=${BENCH_N:-15}
queries=${BENCH_QUERIES:-40000}
parts=${BENCH_PARTS:-cpu full size latency signed xdp}
tool=$BUILD/tests/bench/dns
first_cpu=0
last_cpu=$(($(nproc) - 1))
seed=1
serial=3000000000 # later than today's, which is what a zone's is at least
secret=000102030405060708090a0b0c0d0e0f
compared=5000
vms=4

wants() { [[ " $parts " == *" $1 "* ]]; }

# ---- zones and queries ----

# zone NAMES: $dir/zones/NAMES, of so many names with an address, each second one with two
zone() {
    [ -f "$dir/zones/$1" ] || awk -v n="$1" -v serial=$serial 'BEGIN {
        print "$ORIGIN bench.example.\n$TTL 3600"
        printf "@ SOA ns1 admin %s 7200 900 1209600 60\n@ NS ns1\nns1 A 127.0.0.1\n", serial
        for (i = 0; i < n; i++) {
            printf "n%06d A 198.%d.%d.%d\n", i, 18 + i / 65536, i / 256 % 256, i % 256
            if (i % 2) printf "n%06d AAAA 2001:db8::%x:%x\n", i, i / 65536, i % 65536
        }
    }' > "$dir/zones/$1"
    echo "$dir/zones/$1"
}

# The same for the others, with what jitsud has on top: the service's name.
whole_zone() {
    sed '$a www 1 A 10.77.0.20' "$(zone "$1")" > "$dir/zones/$1-whole"
    echo "$dir/zones/$1-whole"
}

# asked NAMES [SHARE]: a file of queries for names of that zone, SHARE of them (0.1) for others
asked() {
    local file=$dir/queries-$1-${2:-0.1}
    [ -f "$file" ] || awk -v n="$1" -v missing="${2:-0.1}" -v seed=$seed 'BEGIN {
        srand(seed)
        for (i = 0; i < 100000; i++) {
            name = int(rand() * n)
            if (rand() < missing) printf "x%06d.bench.example. A\n", name
            else printf "n%06d.bench.example. %s\n", name, (name % 2 && rand() < 0.5) ? "AAAA" : "A"
        }
    }' > "$file"
    echo "$file"
}

# ---- servers ----

# For the background only: the pid is then that of the server itself.
on_first_cpu() { exec nsenter --net="/run/netns/$host" -- taskset -c $first_cpu "$@"; }

tree() { # tree PID: it and all below it, VMs left out
    local child
    [[ $(cat "/proc/$1/comm" 2>/dev/null) != qemu-system* ]] || return 0
    printf ',%d' "$1"
    for child in $(pgrep -P "$1"); do tree "$child"; done
}
answers() { [ -n "$(in_host dig +short +tries=1 +time=1 "@$1" "${2:-bench.example}" SOA 2>/dev/null)" ]; }

declare -A address pid_of more_of # ... its address, the process it is, other processes that work for it

started() { # started NAME ADDRESS: what was just put into the background
    pid_of[$1]=$!
    address[$1]=$2
    extra_pids+=" $!"
}
end() { # end NAME...
    local server
    for server in "$@"; do
        end_pid "${pid_of[$server]}" 20
        wait "${pid_of[$server]}" 2>/dev/null
    done
}
spec() { # spec NAME FILE: as the generator wants it
    local all
    all=$(tree "${pid_of[$1]}")
    echo "$1=${address[$1]}:53=$2=${all#,}${more_of[$1]:+,${more_of[$1]}}"
}

start_nsd() { # start_nsd NAME ADDRESS ZONE FILE [OPTION...]
    local at=$dir/$1 option
    mkdir -p "$at"
    {
        printf 'server:\n ip-address: %s\n port: 53\n server-count: 1\n database: ""\n username: ""\n' "$2"
        printf ' %s: "%s"\n' pidfile "$at/pid" xfrdfile "$at/xfrd" zonelistfile "$at/list" xfrdir "$at"
        printf ' logfile: "%s/log"\n ipv4-edns-size: 1232\n minimal-responses: yes\n round-robin: no\n' "$at"
        for option in "${@:5}"; do printf ' %s\n' "$option"; done
        printf 'remote-control:\n control-enable: no\nzone:\n name: %s\n zonefile: %s\n' "$3" "$4"
    } > "$at/conf"
    on_first_cpu nsd -d -c "$at/conf" > "$at/out" 2>&1 &
    started "$1" "$2"
    wait_until "$patience" answers "$2" "$3" || die "NSD does not answer: $(cat "$at/log" "$at/out")"
}

start_knot() { # start_knot NAME ADDRESS FILE [ZONE-OPTION...]
    local at=$dir/$1 option
    mkdir -p "$at/db"
    {
        printf 'server:\n listen: %s@53\n rundir: "%s"\n' "$2" "$at"
        printf ' udp-workers: 1\n tcp-workers: 1\n background-workers: 1\n'
        printf 'log:\n - target: stderr\n   any: warning\ndatabase:\n storage: "%s/db"\n' "$at"
        printf 'policy:\n - id: ours\n   algorithm: ecdsap256sha256\n   single-type-signing: on\n'
        printf '   cds-cdnskey-publish: none\n'
        printf 'mod-onlinesign:\n - id: online\n   policy: ours\n'
        printf 'zone:\n - domain: bench.example\n   file: "%s"\n   zonefile-sync: -1\n   journal-content: none\n' "$3"
        for option in "${@:4}"; do printf '   %s\n' "$option"; done
    } > "$at/conf"
    on_first_cpu knotd -c "$at/conf" > "$at/log" 2>&1 &
    started "$1" "$2"
    wait_until "$patience" answers "$2" || die "Knot does not answer: $(cat "$at/log")"
}

# start_ours NAME ADDRESS FILE DNS-OPTIONS [SERVICE...]: the whole daemon, in a directory of its own
start_ours() {
    local at=$dir/$1 warm=$dir/qemu_cache services
    services=$(shift 4; IFS=,; echo "$*")
    rm -rf "$at" # its serials begin anew
    mkdir -p "$at/run" "$at/state"
    [ ! -d "$warm" ] || { mkdir -p "$at/run/qemu" && cp -a "$warm" "$at/run/qemu/cache"; }
    cat > "$at/jitsud.json" <<END
{
  "listen": ["$2:53"], "zone_dirs": ["$dir/zones"], "image_dirs": ["$dir/images"],
  "zones": [{"name": "bench.example", "ns": ["ns1.bench.example"], "file": "$3"}],
  "hypervisors": [{"name": "local", "uri": "qemu:///embed?root=$at/run/qemu", "isolation": "fast"}],
  "bridges": [{"name": "br0"}], "run_dir": "$at/run", "state_dir": "$at/state",
  "dns": {$4},
  "services": [$services]
}
END
    on_first_cpu "$BUILD/jitsud" -c "$at/jitsud.json" > "$at/log" 2>&1 &
    started "$1" "$2"
    wait_until "$patience" serves "$1" || die "jitsud ($1) does not answer"
    [ -d "$warm" ] || cp -a "$at/run/qemu/cache" "$warm"
}
# It answers, and libvirt has asked QEMU what it can do.
serves() { answers "${address[$1]}" && grep -q 'connected: libvirt' "$dir/$1/log"; }
ours() { service www 20 dns '["www.bench.example"]'; }
dns_pid() { cut -d' ' -f1 "$dir/$1/run/pids/dns"; }

# ---- measuring ----

asking_from=host
generator() { in_$asking_from taskset -c $last_cpu "$tool" "$@"; }

# same_answers ASKING FILE SERVER...
same_answers() {
    local asking=$1 file=$2 server specs=()
    for server in "${@:3}"; do specs+=("$(spec "$server" "$file")"); done
    generator compare "$asking" $compared "${specs[@]}" || die "these answers are not the same: ${*:3}"
}

# measure WHAT KIND ASKING SERVER=FILE...: rounds of the kind cpu or latency, kept in $dir/ms/WHAT
measure() {
    local server specs=()
    for server in "${@:4}"; do specs+=("$(spec "${server%%=*}" "${server#*=}")"); done
    generator "$2" "$3" "$rounds" "$( [ "$2" = cpu ] && echo "$queries" || echo 500 )" "${specs[@]}" \
        > "$dir/ms/$1" || die "$1 could not be measured"
}

column() { awk -v server="$2" -v c="$3" '$2 == server { print $c }' "$dir/ms/$1"; } # column WHAT SERVER N
total() { awk '{ n += $1 } END { print n + 0 }'; }
# ratios WHAT OURS THEIRS: of each round
ratios() {
    awk -v ours="$2" -v theirs="$3" '$2 == ours { a[$1] = $3 } $2 == theirs { b[$1] = $3 }
        END { for (i in a) if (b[i] > 0) printf "%.4f\n", a[i] / b[i] }' "$dir/ms/$1"
}
tell() { # tell TITLE COMMAND...: a row of what the command prints
    local v
    v=$("${@:2}")
    row "$1" "$(median <<< "$v")" "$(percentile 10 <<< "$v")" "$(percentile 90 <<< "$v")" "$(grep -c . <<< "$v")"
}
cost_rows() { # cost_rows WHAT SERVER TITLE...
    local what=$1
    shift
    while [ $# -gt 1 ]; do
        tell "$2" column "$what" "$1" 3
        echo "    $(column "$what" "$1" 4 | median) answers a second of $(column "$what" "$1" 8 | median) bytes;" \
            "$(column "$what" "$1" 6 | median) not there; lost $(column "$what" "$1" 5 | total)," \
            "other codes $(column "$what" "$1" 7 | total)"
        shift 2
    done
}
tell_ratio() { # tell_ratio FIGURE WHAT OURS THEIRS
    tell "$1" ratios "$2" "$3" "$4"
    figure "$1" "$(ratios "$2" "$3" "$4" | median)"
}
head_row() {
    echo "$1"
    row "" median p10 p90 n
}

# ---- parts ----

plain='"workers": 1, "xdp": "off", "rate": 0'
with_xdp='"workers": 1, "xdp": "on", "rate": 0'
limited="\"workers\": 1, \"xdp\": \"off\", \"rate\": 1000000, \"rate_exempt\": [], \"cookie_secrets\": [\"$secret\"]"
unlimited='rrl-ratelimit: 0' # NSD's default is 200

cpu() {
    local file zone whole
    zone=$(zone 10000) whole=$(whole_zone 10000)
    file=$(asked 10000)
    start_nsd nsd 127.0.0.2 bench.example "$whole" "$unlimited"
    start_knot knot 127.0.0.3 "$whole"
    start_ours ours 127.0.0.4 "$zone" "$plain" "$(ours)"
    same_answers edns "$file" nsd knot ours
    measure cpu cpu edns "ours=$file" "nsd=$file" "knot=$file"
    measure cpu_plain cpu plain "ours=$file" "nsd=$file" "knot=$file"
    head_row "CPU: an answer, 10,000 names (ns)"
    cost_rows cpu nsd "NSD" knot "Knot" ours "jitsud"
    tell_ratio dns_cpu_vs_nsd cpu ours nsd
    tell_ratio dns_cpu_vs_knot cpu ours knot
    tell "  without EDNS: of NSD" ratios cpu_plain ours nsd
    tell "  without EDNS: of Knot" ratios cpu_plain ours knot
    figure dns_cpu_ns "$(column cpu ours 3 | median)"
    end nsd knot ours
}

full() {
    local file zone whole
    zone=$(zone 10000) whole=$(whole_zone 10000)
    file=$(asked 10000)
    start_nsd nsd 127.0.0.2 bench.example "$whole" 'answer-cookie: yes' "cookie-secret: \"$secret\"" \
        'rrl-ratelimit: 100000000' 'rrl-whitelist-ratelimit: 100000000'
    start_ours ours 127.0.0.4 "$zone" "$limited" "$(ours)"
    same_answers cookies "$file" nsd ours
    measure full cpu cookies "ours=$file" "nsd=$file"
    head_row "Full: the same with cookies (in every second query) and rate limits (ns)"
    cost_rows full nsd "NSD" ours "jitsud"
    tell_ratio dns_cpu_full_vs_nsd full ours nsd
    end nsd ours
}

pss_mib() { awk '/^Pss:/ { printf "%.1f", $2 / 1024 }' "/proc/$1/smaps_rollup"; }
pss_of_all() { # pss_of_all SERVER
    local all
    all=$(tree "${pid_of[$1]}")
    for pid in ${all//,/ }; do pss_mib "$pid"; echo; done | awk '{ n += $1 } END { printf "%.1f", n }'
}

size() {
    local large small
    start_ours large 127.0.0.5 "$(zone 100000)" "$plain" "$(ours)"
    start_ours small 127.0.0.6 "$(zone 1000)" "$plain" "$(service www 21 dns '["www.bench.example"]')"
    measure size cpu edns "large=$(asked 100000)" "small=$(asked 1000)"
    large=$(pss_mib "$(dns_pid large)")
    small=$(pss_mib "$(dns_pid small)")
    head_row "Size: an answer (ns)"
    cost_rows size small "of 1,000 names" large "of 100,000 names"
    tell_ratio dns_cpu_100k_vs_1k size large small
    ctl_of "$dir/large" reload >> "$dir/bench.log" 2>&1 || die "the large zone is not read again"
    sleep 1
    start_nsd nsd 127.0.0.2 bench.example "$(zone 100000)" "$unlimited"
    echo "  PSS of the process that answers (MiB): 1,000 names $small, 100,000 names $large, after a reload" \
        "$(pss_mib "$(dns_pid large)"); all of jitsud $(pss_of_all large), all of NSD $(pss_of_all nsd)"
    figure dns_pss_100k_mib "$large"
    figure dns_pss_100k_reloaded_mib "$(pss_mib "$(dns_pid large)")"
    end large small nsd
}

latency() {
    local file zone whole
    zone=$(zone 10000) whole=$(whole_zone 10000)
    file=$(asked 10000)
    start_nsd nsd 127.0.0.2 bench.example "$whole" "$unlimited"
    start_ours ours 127.0.0.4 "$zone" "$plain" "$(ours)"
    measure latency latency edns "ours=$file" "nsd=$file"
    head_row "Latency: one query at a time, medians of 500 (us)"
    tell "NSD" column latency nsd 3
    tell "jitsud" column latency ours 3
    tell_ratio dns_latency_vs_nsd latency ours nsd
    figure dns_latency_us "$(column latency ours 3 | median)"
    end nsd ours
}

signed() {
    local file zone whole
    zone=$(zone 10000) whole=$(whole_zone 10000)
    file=$(asked 10000)
    start_knot online 127.0.0.3 "$whole" 'module: mod-onlinesign/online'
    start_knot signed 127.0.0.2 "$whole" 'dnssec-signing: on' 'dnssec-policy: ours'
    start_ours ours 127.0.0.4 "$zone" "$plain" "$(ours)"
    ctl_of "$dir/ours" dnssec enable bench.example >> "$dir/bench.log" 2>&1 || die "the zone is not signed"
    wait_until "$patience" is_signed ours || die "answers are not signed"
    same_answers dnssec "$(asked 10000 0)" online ours # that a name is not there is said in different ways
    same_answers dnssec "$file" signed ours
    measure signed cpu dnssec "ours=$file" "online=$file" "signed=$file"
    head_row "Signed: an answer with its signature, 10,000 names (ns)"
    cost_rows signed online "Knot, which signs as it answers" signed "Knot, signed before" ours "jitsud"
    tell_ratio dns_signed_cpu_vs_knot signed ours online
    tell_ratio dns_signed_cpu_vs_knot_signed_before signed ours signed
    end online signed ours
}
is_signed() { in_host dig +dnssec "@${address[$1]}" bench.example SOA 2>/dev/null | grep -q RRSIG; }

# ---- xdp ----
#
# Between two ends of a veth pair it is the sender's CPU that would run the receiver's XDP program and
# network stack: what the program does would cost the generator, and nobody would count it.  So both ends
# of both pairs get a kernel thread of their own that takes frames in (threaded NAPI, which veth has with
# GRO on and segmentation off), the servers' ends on the servers' CPU.  That thread's CPU time is counted
# as its server's: for NSD the way from the interface to its socket, for jitsud the same way as far as its
# program lets a query come, the program, and the answers it sends.

link_pair() { # link_pair NAME NETWORK: interfaces NAME0 (host) and NAME1 (client)
    ip -n "$host" link add "${1}0" type veth peer name "${1}1" netns "$client"
    ip -n "$host" addr add "$2.1/24" dev "${1}0"
    ip -n "$client" addr add "$2.2/24" dev "${1}1"
    ip -n "$host" link set "${1}0" up
    ip -n "$client" link set "${1}1" up
    napi_thread "$host" "${1}0" $first_cpu
    napi_thread "$client" "${1}1" $last_cpu
}
napi_thread() { # napi_thread NAMESPACE IF CPU
    nsenter --net="/run/netns/$1" -- ethtool -K "$2" gro on tso off >> "$dir/bench.log"
    ip netns exec "$1" sh -c "echo 1 > /sys/class/net/$2/threaded" || die "$2 has no thread"
    wait_until 5 napi_pid "$2" || die "the thread of $2 is not there"
    taskset -p -c "$3" "$(napi_pid "$2")" >> "$dir/bench.log"
}
napi_pid() { pgrep "^napi/$1-"; }

# upward N: a service with 16 names, and what a zone file says of them
up_service() {
    local names
    names=$(seq -f "\"n$1-%g.bench.example\"" -s, 16)
    service "up$1" $((30 + $1)) dns "[$names]" ttl '"3600s"' idle_timeout '"never"'
}
up_names() { seq -f "n$1-%g A 10.77.0.$((30 + $1))" 16; }

xdp() {
    local i up=() file=$dir/queries-up mixed=$dir/queries-up-mixed
    link_pair "xj$$" 10.78.1
    link_pair "xn$$" 10.78.2
    head -n 5 "$(zone 10000)" > "$dir/zones/apex"
    cp "$dir/zones/apex" "$dir/zones/up"
    for i in $(seq "$vms"); do
        up+=("$(up_service "$i")")
        up_names "$i" >> "$dir/zones/up"
    done
    awk '/^n[0-9]*-/ { print $1 ".bench.example A" }' "$dir/zones/up" > "$file"
    awk '{ print } NR % 9 == 0 { print "x" $0 }' "$file" > "$mixed"
    start_nsd nsd 10.78.2.1 bench.example "$dir/zones/up" "$unlimited"
    start_ours ours 10.78.1.1 "$dir/zones/apex" "$with_xdp" "${up[@]}"
    for i in $(seq "$vms"); do
        ctl_of "$dir/ours" start "up$i" >> "$dir/bench.log" 2>&1 || die "up$i does not start"
        wait_until "$patience" is_up "up$i" || die "up$i does not come up"
    done
    more_of[nsd]=$(napi_pid "xn${$}0")
    more_of[ours]=$(napi_pid "xj${$}0")
    asking_from=client
    same_answers edns "$mixed" nsd ours
    measure xdp cpu edns "ours=$file" "nsd=$file"
    measure xdp_mixed cpu edns "ours=$mixed" "nsd=$mixed"
    asking_from=host
    head_row "XDP: an answer over veth, $vms services that are up (ns)"
    cost_rows xdp nsd "NSD" ours "jitsud"
    tell_ratio dns_xdp_cpu_vs_nsd xdp ours nsd
    tell "  with 10 % of the names not there" ratios xdp_mixed ours nsd
    end nsd ours
}
is_up() { ctl_of "$dir/ours" --json show "$1" 2>/dev/null | grep -q '"state": *"up"'; }

trap clean_up EXIT
trap 'exit 1' INT TERM
make_dir && make_networks && mkdir "$dir/ms" "$dir/zones" || exit 1
figure dns_rounds "$rounds"
for part in cpu full size latency signed xdp; do
    if wants $part; then $part; fi
done
exit 0
