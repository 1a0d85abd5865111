# What the system tests and the demo share: a host and a client in network namespaces, a jitsud in
# the host, and reports.  Sourced; needs root.
#
#     host namespace:   br0 10.77.0.1/24 (and fd77::1/64), the VMs' taps, jitsud on port 53
#     client namespace: eth0 10.77.0.2/24 (and fd77::2/64), a port of br0
#
# Services are not held unless a test says so, or its file, with hold=park.
#
# A test file defines functions test_* and ends with run_tests.  A test fails when it returns
# non-zero or calls fail; it may call skip.  Everything made is removed at exit, and only processes
# started here (or by the jitsud started here) are ended.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
BUILD=${BUILD:-$top/build}
case $BUILD in /*) ;; *) BUILD=$top/$BUILD ;; esac
guests=$BUILD/guests
packets=$BUILD/tests/system/packets

name=jitsu-$$
host=$name-h
client=$name-c
dir=        # RUN_DIR and everything else of this run
jitsud_pid=
extra_pids=
hold=${hold:-off} # what services say unless they are told otherwise
warm= # what QEMU said it can do, kept from one test of a file for the next

host_ip=10.77.0.1
client_ip=10.77.0.2

# How often a test goes round: $1 usually, $2 in the long run.
rounds() { if [ -n "${LONG:-}" ]; then seq "$2"; else seq "$1"; fi; }

# Seconds that are long enough on a slow, busy machine.
patience=${PATIENCE:-30}

in_host() { nsenter --net="/run/netns/$host" -- "$@"; }
in_client() { nsenter --net="/run/netns/$client" -- "$@"; }

say() { printf '%s\n' "$*" >&2; }

# ---- networks ----

make_networks() {
    ip netns add "$host" && ip netns add "$client" || return 1
    ip -n "$host" link set lo up
    ip -n "$client" link set lo up
    ip -n "$host" link add br0 address 02:00:00:77:00:01 type bridge stp_state 0 forward_delay 0 mcast_snooping 0
    ip -n "$host" addr add $host_ip/24 dev br0
    ip -n "$host" addr add fd77::1/64 dev br0 nodad
    ip -n "$host" link set br0 up
    ip -n "$host" link add c0 type veth peer name eth0 netns "$client"
    ip -n "$host" link set c0 master br0 up
    ip -n "$client" addr add $client_ip/24 dev eth0
    ip -n "$client" addr add fd77::2/64 dev eth0 nodad
    ip -n "$client" link set eth0 up
    # 50 clients at once: an address each
    for i in $(seq 100 149); do ip -n "$client" addr add 10.77.0.$i/24 dev eth0; done
}

remove_networks() {
    local namespace
    for namespace in $(ip netns list 2>/dev/null | sed -n "s/^\($name-[a-z0-9]*\).*/\1/p"); do
        ip netns del "$namespace"
    done
}

add_bridge() { # add_bridge NAME ADDRESS/LENGTH: one more in the host, without any port
    ip -n "$host" link add "$1" type bridge stp_state 0 forward_delay 0 mcast_snooping 0
    ip -n "$host" addr add "$2" dev "$1"
    ip -n "$host" link set "$1" up
}

# add_station NAME BRIDGE ADDRESS/LENGTH: a namespace $name-NAME whose eth0 is a port of that bridge
add_station() {
    ip netns add "$name-$1"
    ip -n "$name-$1" link set lo up
    ip -n "$host" link add "p$1" type veth peer name eth0 netns "$name-$1"
    ip -n "$host" link set "p$1" master "$2" up
    ip -n "$name-$1" addr add "$3" dev eth0
    ip -n "$name-$1" link set eth0 up
}
in_station() { nsenter --net="/run/netns/$name-$1" -- "${@:2}"; }

# ---- processes ----

# The QEMUs of this run: those whose command line names its directory.
our_qemus() {
    local pid
    for pid in $(pgrep -f "qemu-system.*$dir" 2>/dev/null); do
        cat "/proc/$pid/cmdline" 2>/dev/null | tr '\0' ' ' | grep -q "$dir" && echo "$pid"
    done
}

# Those among them that are VMs (QEMU also runs for a moment to be asked what it can do).
our_vms() {
    local pid
    for pid in $(our_qemus); do
        cat "/proc/$pid/cmdline" 2>/dev/null | tr '\0' '\n' | grep -q '^guest=' && echo "$pid"
    done
}

qemu_of() { # qemu_of SERVICE: the pid of its QEMU
    local pid
    for pid in $(our_qemus); do
        cat "/proc/$pid/cmdline" 2>/dev/null | tr '\0' '\n' | grep -q "^guest=jitsu-$1," && echo "$pid"
    done
}

process_pid() { # process_pid dns|launcher|...: as recorded by the supervisor
    [ -f "$dir/run/pids/$1" ] && cut -d' ' -f1 "$dir/run/pids/$1"
}

alive() { [ -n "${1:-}" ] && [ -d "/proc/$1" ] && ! grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null; }

end_pid() { # end_pid PID [SECONDS]
    alive "$1" || return 0
    kill "$1" 2>/dev/null
    for _ in $(seq $(( ${2:-5} * 20 ))); do alive "$1" || return 0; sleep 0.05; done
    kill -9 "$1" 2>/dev/null
    return 0
}

now_ms() { echo $(( $(date +%s%N) / 1000000 )); }

wait_until() { # wait_until SECONDS COMMAND...
    local until=$(( $(date +%s%N) + $1 * 1000000000 ))
    shift
    while [ "$(date +%s%N)" -lt "$until" ]; do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.05
    done
    return 1
}

# ---- configuration ----

make_dir() {
    dir=$(mktemp -d /tmp/jitsu-test-XXXXXX)
    chmod 755 "$dir"
    mkdir -p "$dir/run" "$dir/state" "$dir/images"
    [ -f "$guests/www.elf" ] && cp "$guests/www.elf" "$dir/images/"
    [ -f "$guests/www-arm64.img" ] && cp "$guests/www-arm64.img" "$dir/images/"
    if [ -f "$guests/linux/vmlinuz" ]; then
        cp "$guests/linux/vmlinuz" "$dir/images/linux"
        cp "$guests/linux/initrd" "$dir/images/initrd"
    fi
    chmod 644 "$dir"/images/* 2>/dev/null
    return 0
}

# For Linux guests' tsc_early_khz: without it they hang in calibration under emulation, and with a
# wrong value their clock is wrong.
tsc_khz() { awk '/^cpu MHz/ { printf "%d", $4 * 1000; found = 1; exit } END { if (!found) print 1000000 }' /proc/cpuinfo; }

# service NAME LAST-OCTET [KEY JSON]...: one service of the unikernel; keys given replace its own.
# Keys that begin with machine. go into the machine.
service() {
    local name=$1 octet=$2 key
    local -A s=([dns]="[\"$name.jitsu.example\"]" [ip]="[\"10.77.0.$octet/24\"]" [ttl]='"1s"' [ports]='[80]'
        [idle_timeout]='"300s"' [dns_horizon]='"2s"' [hold]="\"$hold\"")
    local -A m=([kernel]="\"$dir/images/www.elf\"" [memory]='"16MiB"' [nics]='[{"bridge": "br0"}]'
        [cmdline]='"ip={ip}/{prefix} gw={gw} name={name} boot={boot}"')
    shift 2
    while [ $# -gt 1 ]; do
        case $1 in
        machine.*) m[${1#machine.}]=$2 ;;
        *) s[$1]=$2 ;;
        esac
        shift 2
    done
    printf '{"name": "%s"' "$name"
    for key in "${!s[@]}"; do [ -z "${s[$key]}" ] || printf ', "%s": %s' "$key" "${s[$key]}"; done
    printf ', "machine": {'
    local comma=
    for key in "${!m[@]}"; do
        [ -z "${m[$key]}" ] || { printf '%s"%s": %s' "$comma" "$key" "${m[$key]}"; comma=', '; }
    done
    printf '}}'
}

# guest OPTION...: the unikernel's command line with these options (tests/guests/README.md)
guest() { printf '"ip={ip}/{prefix} gw={gw} name={name} boot={boot} %s"' "$*"; }

# configure SERVICE-JSON...: writes $dir/jitsud.json.  $limits, $top_keys, $bridges, $pools (of br0) and $hypervisors may
# hold JSON of their own; $conflict_probe is how long addresses are looked at before they are held.
configure() {
    local services IFS=,
    services="$*"
    cat > "$dir/jitsud.json" <<END
{
  "listen": ["$host_ip:53", "[fd77::1]:53"],
  "zones": [{"name": "jitsu.example", "ns": ["ns1.jitsu.example"], "hostmaster": "admin.jitsu.example"${zone_keys:+, $zone_keys}}],
  "hypervisors": [${hypervisors:-{\"name\": \"local\", \"uri\": \"qemu:///embed?root=$dir/run/qemu\", \"isolation\": \"${isolation:-strict}\"\}}],
  "bridges": [{"name": "br0", "conflict_probe": "${conflict_probe:-0s}", "pools": [${pools:-}]}${bridges:+, $bridges}],
  "image_dirs": ["$dir/images"],
  "limits": {${limits:-"\"max_starting\": 4, \"wakes_per_source\": \"10000/min\", \"wakes_per_service\": \"10000/min\", \"wakes_unverified\": \"10000/min\""}},
  "run_dir": "$dir/run", "state_dir": "$dir/state", "log": "${log_level:-info}",${top_keys:-}
  "services": [$services]
}
END
}

# ---- a libvirtd, and domains that exist already ----

# libvirtd in mounts of its own, so that nothing of the host's is seen or touched.
start_libvirtd() {
    command -v libvirtd > /dev/null || skip "libvirtd is not installed"
    mkdir -p "$dir/libvirt" "$dir/etc"
    : > "$dir/nokvm"
    chmod 600 "$dir/nokvm"
    cat > "$dir/etc/qemu.conf" <<END
user = "libvirt-qemu"
group = "libvirt-qemu"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
seccomp_sandbox = 1
END
    cat > "$dir/etc/libvirtd.conf" <<END
unix_sock_dir = "$dir/libvirt"
auth_unix_rw = "none"
END
    cat > "$dir/libvirtd.sh" <<END
set -e
for d in /etc/libvirt /var/lib/libvirt /var/cache/libvirt /var/log/libvirt /run/libvirt; do
    mkdir -p \$d
    mount -t tmpfs -o mode=755 none \$d
done
[ ! -e /dev/kvm ] || mount --bind "$dir/nokvm" /dev/kvm
cp "$dir/etc/qemu.conf" /etc/libvirt/
exec libvirtd -f "$dir/etc/libvirtd.conf" -p "$dir/libvirt/pid"
END
    nsenter --net="/run/netns/$host" -- unshare --mount --propagation private bash "$dir/libvirtd.sh" > "$dir/libvirtd.log" 2>&1 &
    libvirtd_pid=$!
    extra_pids+=" $libvirtd_pid"
    uri="qemu:///system?socket=$dir/libvirt/libvirt-sock"
    hypervisors="{\"name\": \"local\", \"uri\": \"$uri\"}"
    wait_until "$patience" virsh -q -c "$uri" list || { tail "$dir/libvirtd.log"; fail "libvirtd does not start"; }
}

vsh() { virsh -q -c "$uri" "$@"; }

define_domain() { # define_domain NAME LAST-OCTET
    cat > "$dir/$1.xml" <<END
<domain type='qemu'>
  <name>$1</name>
  <memory unit='MiB'>32</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type>
    <kernel>$dir/images/www.elf</kernel>
    <cmdline>ip=10.77.0.$2/24 name=$1</cmdline></os>
  <features><acpi/></features>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <interface type='bridge'><source bridge='br0'/><model type='virtio'/><rom enabled='no'/></interface>
    <serial type='file'><source path='/dev/null'/></serial>
  </devices>
</domain>
END
    vsh define "$dir/$1.xml" > /dev/null
}

domain_service() { # domain_service NAME LAST-OCTET [KEY JSON]...
    local name=$1 octet=$2
    shift 2
    service "$name" "$octet" machine.kernel '' machine.memory '' machine.cmdline '' machine.nics '' \
        machine.domain "\"$name\"" "$@"
}

# ---- jitsud ----

start_jitsud() { # waits until it serves
    [ -z "$warm" ] || [ -e "$dir/run/qemu" ] || cp -a "$warm/." "$dir/run/"
    # no function here: the pid must be that of jitsud itself
    nsenter --net="/run/netns/$host" -- "$BUILD/jitsud" -c "$dir/jitsud.json" >> "$dir/log" 2>&1 &
    jitsud_pid=$!
    wait_until "$patience" is_ready_or_dead && alive "$jitsud_pid" && return 0
    say "jitsud did not get ready:"
    tail -20 "$dir/log" >&2
    return 1
}

# As far as libvirt has asked QEMU what it can do: a stop before that leaves a QEMU behind for a moment.
wait_connected() { wait_until 60 grep -q 'connected: libvirt' "$dir/log" || fail "libvirt is not connected"; }

ctl() { "$BUILD/jitsuctl" -S "$dir/run/control.sock" "$@"; }

hypervisor_ready() { ctl --json status 2>/dev/null | grep -q ': connected'; }
is_ready_or_dead() { ! alive "$jitsud_pid" || is_ready; }
is_ready() { ctl --json list >/dev/null 2>&1 && hypervisor_ready; }

stop_jitsud() {
    [ -n "$jitsud_pid" ] || return 0
    end_pid "$jitsud_pid"
    wait "$jitsud_pid" 2>/dev/null
    jitsud_pid=
}

end_leftovers() {
    local file
    for file in "$dir"/run/pids/*; do
        [ -f "$file" ] && kill -9 "$(cut -d' ' -f1 "$file")" 2>/dev/null
    done
    for pid in $(our_qemus); do end_pid "$pid" 1; done
}

state_of() { field state "$1"; }
field() { ctl --json show "$2" 2>/dev/null | sed -n "s/.*\"$1\": *\"\{0,1\}\([^,\"}]*\).*/\1/p"; }
is_state() { [ "$(state_of "$1")" = "$2" ]; }
wait_state() { wait_until "${3:-$patience}" is_state "$1" "$2"; }

# ---- clients ----

ask() { # ask NAME [TYPE] [DIG-OPTION...]: the short answer
    local what=$1 type=${2:-A}
    shift; [ $# -gt 0 ] && shift
    in_client dig +short +tries=1 +time="$patience" "$@" "@$host_ip" "$what.jitsu.example" "$type" 2>/dev/null
}
ask_status() { # ask_status NAME [DIG-OPTION...]: NOERROR, SERVFAIL ...
    local what=$1
    shift
    in_client dig +tries=1 +time="$patience" "$@" "@$host_ip" "$what.jitsu.example" A 2>/dev/null |
        sed -n 's/.*status: \([A-Z]*\).*/\1/p'
}
page() { in_client curl -s --noproxy '*' -m "${2:-$patience}" "http://$1/"; }
needs_aarch64() {
    command -v qemu-system-aarch64 > /dev/null || skip "qemu-system-aarch64 is not installed"
    [ -f "$dir/images/www-arm64.img" ] || skip "the aarch64 guest is not built (no cross compiler)"
}
# connect IP [CURL-OPTION...]: the seconds that connecting took; the page goes to $dir/connected
connect() {
    in_client curl -s --noproxy '*' -m "$patience" -o "$dir/connected" -w '%{time_connect}' "${@:2}" "http://$1/"
}
# at_once SECONDS [SERVICE]: a SYN that is lost costs the client a second, unless its VM took as long to boot
at_once() {
    local up=0
    [ -z "${2:-}" ] || up=$(field last_wake_ms "$2")
    awk -v t="${1:-99}" -v up="${up:-0}" 'BEGIN { exit !(t < 0.9 || t < up / 1000 + 0.3) }'
}
between() { awk -v from="$1" -v to="$2" -v t="$3" 'BEGIN { exit !(t >= from && t <= to) }'; } # between FROM TO SECONDS
forget_neighbours() { ip -n "$client" neigh flush dev eth0; }
# summon NAME: looks it up, and gets its page from the address
summon() {
    local ip
    ip=$(ask "$1") && [ -n "$ip" ] && page "$ip"
}

# ---- holding ----

is_held() { case $(field stage "$1") in sleep|frozen|boot|up|drain|stop|failed) ;; *) false ;; esac; }
# wait_held SERVICE...: until its clients are held; and until libvirt knows what QEMU can do, so that they
# are not held for that
wait_held() {
    local service
    wait_connected || return 1
    for service in "$@"; do
        wait_until "$patience" is_held "$service" || fail "$service is not held: $(ctl show "$service")" || return 1
    done
}

flows_of() { ctl --json flows ${1:+"$1"} | grep -c '"client"'; } # how many connections are held
mac_of() { field mac "$1"; } # the VM's, also while it is off

addresses() { seq -s, -f "$1%g" "$2" "$3"; } # addresses 10.77.0. 100 149: comma-separated

# capture_begin NAMESPACE IF: every frame of that interface, from now on
capture_begin() {
    [ -x "$packets" ] || fail "$packets is not built" || return 1
    nsenter --net="/run/netns/$1" -- "$packets" capture "$2" > "$dir/capture" &
    capture_pid=$!
    extra_pids+=" $capture_pid"
    wait_until 5 grep -q '^#' "$dir/capture"
}
capture_end() {
    sleep 0.1
    end_pid "$capture_pid"
}
seen() { grep -c -E "$1" "$dir/capture"; } # how many frames

# One TCP connection of the client that stays, to a service that echoes lines.
session_begin() { # session_begin IP PORT
    coproc session { exec nsenter --net="/run/netns/$client" -- bash -c '
        exec 3<> "/dev/tcp/$0/$1" || exit 1
        { cat <&3 2>/dev/null && echo CLOSED || echo RESET; } &
        cat >&3 2>/dev/null
        kill $!' "$1" "$2" 2>&1; }
    extra_pids+=" $session_PID"
}
session_say() { echo "$1" >&"${session[1]}"; }
session_hear() { # the next line, without its CR; RESET, CLOSED, or nothing after a while
    local line
    read -r -t "${1:-$patience}" line <&"${session[0]}" && echo "${line%$'\r'}"
}

# datagrams IP PORT WORD...: sends a datagram for each, and prints what comes back within three seconds
datagrams() {
    in_client bash -c '
        exec 3<> "/dev/udp/$0/$1"
        for word in "${@:2}"; do printf "%s\n" "$word" >&3; done
        timeout 3 cat <&3' "$@"
}

# marks_in_order SERVICE MARK...: its last wake has them, none before the one named before it
marks_in_order() {
    local service=$1 mark value last=0 trace
    shift
    trace=$(ctl --json trace "$service" -n 1)
    for mark in "$@"; do
        value=$(sed -n "s/.*\"t_${mark}_us\": *\([0-9]*\).*/\1/p" <<< "$trace")
        [ -n "$value" ] || fail "no mark $mark: $trace" || return 1
        [ "$value" -ge "$last" ] || fail "$mark came before the mark named before it: $trace" || return 1
        last=$value
    done
}

# An orderly stop leaves nothing of ours on a bridge but VMs' taps.
nothing_is_held() {
    ! ip -n "$host" -o link show | grep ': jh' && ! bridge -n "$host" fdb show | grep -w sticky
}

# ---- reports ----

passed=0
failed=0
skipped=0
current=

fail() { # fail WHY: and the test ends
    echo "# $*"
    return 1
}

note() { echo "NOTE $*"; } # figures that are told when the test passes

skip() { # skip WHY: and the test ends
    echo "# skip: $*"
    exit 77
}

clean_up() {
    trap - EXIT INT TERM
    local pid left=
    if [ -n "$jitsud_pid" ]; then
        stop_jitsud
        nothing_is_held || left=held
    fi
    for pid in $extra_pids; do end_pid "$pid"; done
    [ -n "$dir" ] && end_leftovers
    remove_networks
    [ -n "$dir" ] || return 0
    wait_until 5 nobody_is_left || left_behind
    keep_warm
    [ -n "${KEEP:-}" ] || rm -rf "$dir"
    [ -z "$left" ] || { echo "# jitsud left this on a bridge when it was stopped"; exit 1; }
}

# Asking QEMU what it can do takes seconds: the first test of a file does, the others have its answers.
keep_warm() {
    [ -n "$warm" ] && [ ! -e "$warm/qemu" ] && grep -qs 'connected: libvirt' "$dir/log" || return 0
    [ -e "$dir/run/qemu/cache" ] || return 0
    (cd "$dir/run" && cp -a --parents qemu/cache "$warm/")
}

nobody_is_left() { [ -z "$(pgrep -f "$dir/")" ]; }

# A test that leaves a process behind has failed, whatever it said.
left_behind() {
    echo "# these processes are left:"
    for pid in $(pgrep -f "$dir/"); do
        tr '\0' ' ' < "/proc/$pid/cmdline" | cut -c1-150
        kill -9 "$pid"
    done
    rm -rf "$dir"
    exit 1
}

# Under ASan and UBSan what they say stands in the log; a process that died of it was restarted.
no_sanitizer_spoke() {
    ! grep -A30 'Sanitizer\|runtime error:' "$dir/log" 2>/dev/null
}

# Each test runs in a subshell of its own, with networks and a directory of its own.
run_one() {
    (
        name=jt$BASHPID
        host=$name-h
        client=$name-c
        trap clean_up EXIT
        trap 'exit 1' INT TERM
        make_dir && make_networks || exit 1
        "$1" && no_sanitizer_spoke && exit 0
        tail -n 12 "$dir/log" 2>/dev/null | cut -c12-230 | sed 's/^/# jitsud said: /'
        exit 1
    )
}

run_tests() { # run_tests [TEST...]: all functions test_*, or those named
    local suite tests test status log began
    suite=$(basename "$0" .sh)
    [ "$(id -u)" = 0 ] || { echo "skip - $suite # needs root: it makes network namespaces"; exit 77; }
    log=$(mktemp)
    tests=$*
    [ -n "$tests" ] || tests=$(declare -F | sed -n 's/^declare -f \(test_.*\)/\1/p')
    warm=$(mktemp -d)
    for test in $tests; do
        began=$(date +%s)
        run_one "$test" > "$log" 2>&1
        status=$?
        began=$(( $(date +%s) - began ))
        case $status in
        0) echo "ok - $suite: $test (${began} s)$(sed -n 's/^SEED=/ # &/p; s/^NOTE / # /p' "$log")"; passed=$((passed + 1)) ;;
        77) echo "skip - $suite: $test $(grep '^# skip' "$log")"; skipped=$((skipped + 1)) ;;
        *) echo "not ok - $suite: $test (${began} s)"; sed 's/^/    /' "$log"; failed=$((failed + 1)) ;;
        esac
    done
    rm -rf "$log" "$warm"
    [ "$failed" = 0 ]
}
