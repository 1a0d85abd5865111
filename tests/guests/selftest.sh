#!/bin/bash
# selftest.sh [MACHINE...]: boot the unikernels with plain QEMU, emulated, and
# use them.  Needs root; makes a network namespace of its own and removes it.
#
# Machines: microvm, microvm-off (without ACPI), pc, arm64.  The guests are
# taken from GUESTS_DIR (default: build/guests).  One line per case, "ok" or
# "not ok"; exit 1 if any failed, 77 if nothing could be tried.

set -u

here=$(cd "$(dirname "$0")" && pwd)
guests=${GUESTS_DIR:-$here/../../build/guests}
namespace=guests-$$
tap=tap0
host=10.99.0.1
guest=10.99.0.2
scratch=$(mktemp -d)
deadline=$((SECONDS + ${SELFTEST_LIMIT:-90}))
qemu=
machine=
passed=0
failed=0

cleanup() {
    stop
    ip netns del "$namespace" 2>/dev/null
    rm -rf "$scratch"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

inside() { ip netns exec "$namespace" "$@"; }
# A bounded client: nothing here may hang.
get() { inside curl -s -m "${limit:-5}" "$@"; }

skip() { echo "ok # skip: $*"; }

check() {   # check DESCRIPTION COMMAND...
    local what="$machine: $1"
    shift
    if "$@"; then
        echo "ok $what"
        passed=$((passed + 1))
    else
        echo "not ok $what"
        sed 's/^/# /' "$scratch/console" "$scratch/errors"
        failed=$((failed + 1))
    fi
}

# --- a guest's life ---

boot() {    # boot OPTIONS: start the guest; does not wait
    local common="-m 32 -accel tcg -no-reboot -nodefaults -no-user-config -display none
        -serial file:$scratch/console -monitor unix:$scratch/monitor,server=on,wait=off
        -netdev tap,id=net,ifname=$tap,script=no,downscript=no"
    local kernel=$guests/www.elf program=qemu-system-x86_64 card=virtio-net-device
    local type
    case $machine in
    microvm)     type=microvm,acpi=on,x-option-roms=off ;;
    microvm-off) type=microvm,acpi=off,x-option-roms=off ;;
    pc)          type=pc card=virtio-net-pci,romfile= ;;
    arm64)       type=virt program=qemu-system-aarch64 kernel=$guests/www-arm64.img
                 common="$common -cpu cortex-a57" ;;
    esac
    : >"$scratch/console"
    : >"$scratch/errors"
    # Not through inside(): a function would run in a shell of its own, and the
    # number kept must be QEMU's.
    # shellcheck disable=SC2086 # the common options are words
    ip netns exec "$namespace" "$program" -M "$type" $common -device "$card,netdev=net" \
        -kernel "$kernel" -append "ip=$guest/24 name=www $1" \
        </dev/null 2>"$scratch/errors" &
    qemu=$!
}

stop() {
    [ -n "$qemu" ] || return 0
    kill -KILL "$qemu" 2>/dev/null
    wait "$qemu" 2>/dev/null
    qemu=
    ip -n "$namespace" neigh flush dev "$tap" 2>/dev/null
}

gone() {    # has the guest ended by itself, within two seconds?
    local i
    for i in {1..20}; do
        if ! kill -0 "$qemu" 2>/dev/null; then
            stop
            return 0
        fi
        sleep 0.1
    done
    return 1
}

monitor() {
    python3 - "$scratch/monitor" "$1" <<'END'
import socket, sys
monitor = socket.socket(socket.AF_UNIX)
monitor.settimeout(2)
monitor.connect(sys.argv[1])
def prompt():
    text = b''
    while not text.endswith(b'(qemu) '):
        text += monitor.recv(4096)
prompt()
monitor.sendall(sys.argv[2].encode() + b'\n')
prompt()
END
}

serves() {  # does the page come, within eight seconds?
    local i
    for i in {1..80}; do
        limit=1 get -o /dev/null "http://$guest/" && return 0
        sleep 0.1
    done
    return 1
}

# --- cases: each returns 0 when all is well ---

about() {
    get "http://$guest/" >"$scratch/about"
    [ "$(sed -n '1,2p' "$scratch/about")" = $'name www\nboot 3' ] &&
        grep -Eqx 'uptime [0-9]+\.[0-9]{3} s' "$scratch/about" &&
        [ "$(wc -l <"$scratch/about")" = 3 ]
}

clock() {   # does a second last a second?
    local before after
    before=$(get "http://$guest/" | awk '/uptime/ { print $2 }')
    sleep 1
    after=$(get "http://$guest/" | awk '/uptime/ { print $2 }')
    awk -v before="$before" -v after="$after" \
        'BEGIN { passed = after - before; exit !(passed > 0.9 && passed < 1.4) }'
}

pings() { inside ping -n -q -c 20 -i 0.01 -W 1 -s 1400 "$guest" >/dev/null; }

one_by_one() {      # 200 connections, a new one for each
    local urls=()
    while [ ${#urls[@]} -lt 200 ]; do urls+=("http://$guest/"); done
    [ "$(limit=20 get "${urls[@]}" | grep -c '^name www$')" = 200 ]
}

all_at_once() {     # 40 at the same time
    local i clients=()
    for i in {1..40}; do
        get -o "$scratch/page.$i" "http://$guest/" &
        clients+=($!)
    done
    wait "${clients[@]}"
    [ "$(cat "$scratch"/page.* | grep -c '^name www$')" = 40 ]
}

pattern() { seq -f %015.0f 0 16 "$1" | head -c "$1"; }

download() {        # download PATH BYTES SECONDS
    limit=$3 get "http://$guest/$1" >"$scratch/download"
    pattern "$2" | cmp -s - "$scratch/download"
}

slow() {            # 20000 bytes at 10000 a second: two seconds
    local start took
    start=$(date +%s%N)
    download 'slow?bytes=20000&rate=10000' 20000 5 || return 1
    took=$((($(date +%s%N) - start) / 1000000))
    [ "$took" -gt 1700 ] && [ "$took" -lt 3500 ]
}

sixty() {           # sixty open connections, then a request on each
    inside python3 - "$guest" <<'END'
import socket, sys
clients = [socket.create_connection((sys.argv[1], 80), timeout=5) for _ in range(60)]
for client in clients:
    client.sendall(b'GET / HTTP/1.0\r\n\r\n')
pages = [b''.join(iter(lambda: client.recv(4096), b'')) for client in clients]
sys.exit(not all(b'name www' in page for page in pages))
END
}

too_many() {        # three hundred half-open and idle ones do not lock clients out
    inside python3 - "$guest" <<'END'
import socket, sys
clients = []
for _ in range(300):
    client = socket.socket()
    client.setblocking(False)
    client.connect_ex((sys.argv[1], 80))
    clients.append(client)
END
    serves
}

stalled() {         # a client that stops reading, then goes on, misses nothing
    inside python3 - "$guest" <<'END'
import socket, sys, time
client = socket.socket()
client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
client.settimeout(10)
client.connect((sys.argv[1], 80))
client.sendall(b'GET /big?bytes=300000 HTTP/1.0\r\n\r\n')
time.sleep(1.5)
data = b''.join(iter(lambda: client.recv(65536), b''))
body = data.split(b'\r\n\r\n', 1)[1]
want = b''.join(b'%015d\n' % at for at in range(0, 300000, 16))
sys.exit(body != want)
END
}

requests() {        # what is answered how
    local ask status
    while read -r status ask; do
        # shellcheck disable=SC2059 # the escapes are the point
        printf "$ask" >"$scratch/request"
        inside timeout 5 python3 - "$guest" "$status" "$scratch/request" <<'END' || return 1
import socket, sys
client = socket.create_connection((sys.argv[1], 80), timeout=3)
client.sendall(open(sys.argv[3], 'rb').read())
data = b''.join(iter(lambda: client.recv(4096), b''))
sys.exit(data.split(b' ')[1:2] != [sys.argv[2].encode()])
END
    done <<'END'
200 GET\040/\040HTTP/1.0\r\n\r\n
200 HEAD\040/\040HTTP/1.1\r\nHost:\040x\r\n\r\n
200 GET\040/\040HTTP/1.1\n\n
404 GET\040/none\040HTTP/1.1\r\n\r\n
404 GET\040/bigger\040HTTP/1.1\r\n\r\n
405 POST\040/\040HTTP/1.1\r\n\r\n
400 GET\040/\r\n\r\n
400 \001\002garbage\r\n\r\n
431 GET\040/%01100d\040HTTP/1.1\r\n
END
}

refused() {         # a closed port says so
    get "http://$guest:81/"
    [ $? = 7 ]
}

banner() {          # the service that speaks first
    inside python3 - "$guest" <<'END'
import socket, sys
client = socket.create_connection((sys.argv[1], 22), timeout=3)
lines = client.makefile('rwb')
assert lines.readline() == b'name www ready\r\n'
for line in (b'one\n', b'x' * 1500 + b'\n', b'three\n'):
    lines.write(line)
    lines.flush()
    assert lines.readline() == line
client.shutdown(socket.SHUT_WR)
assert lines.read() == b''
END
}

earlier_boot() {    # a connection to the boot before is reset by the next one
    inside python3 - "$guest" "$scratch/go" >"$scratch/reset" <<'END' &
import os, socket, sys, time
client = socket.create_connection((sys.argv[1], 80), timeout=5)
open(sys.argv[2], 'w').close()
while os.path.exists(sys.argv[2]):
    time.sleep(0.05)
try:
    client.sendall(b'GET / HTTP/1.0\r\n\r\n')
    print(client.recv(100))
except ConnectionResetError:
    print('reset')
END
    local client=$! i
    for i in {1..40}; do
        [ -e "$scratch/go" ] && break
        sleep 0.05
    done
    stop
    boot boot=4
    serves || return 1
    rm -f "$scratch/go"
    wait "$client"
    [ "$(cat "$scratch/reset")" = reset ]
}

boot_ids() {        # without boot=, each boot has a name of its own
    local first second
    boot ''
    serves && first=$(get "http://$guest/" | sed -n 's/^boot //p')
    stop
    boot ''
    serves && second=$(get "http://$guest/" | sed -n 's/^boot //p')
    stop
    [ -n "$first" ] && [ "$first" != "$second" ]
}

answers_ping() { inside ping -n -q -c 1 -W "$1" "$guest" >/dev/null 2>&1; }

arp_delayed() {     # silent for two seconds, then up
    boot 'arp_delay=2000'
    sleep 1.2
    ! answers_ping 0.5 && sleep 1 && serves
}

listen_delayed() {  # up, but refusing; then serving
    boot 'listen_delay=2000'
    local i
    for i in {1..40}; do
        answers_ping 0.1 && break
    done
    limit=1 get -o /dev/null "http://$guest/"
    [ $? = 7 ] && sleep 1.5 && serves
}

muted() {           # boots, but says nothing
    boot 'mute=1'
    sleep 1.5
    grep -q booting "$scratch/console" && ! grep -q 'network up' "$scratch/console" &&
        ! answers_ping 0.3 && kill -0 "$qemu"
}

hung() {
    boot 'hang=1'
    sleep 1
    ! answers_ping 0.3 && kill -0 "$qemu"
}

lossy() {           # one frame in twenty lost, each way
    boot 'loss=20'
    serves && download 'big?bytes=1000000' 1000000 25
}

several_ports() {
    boot 'port=80,8080'
    serves && get -o /dev/null "http://$guest:8080/"
}

late_port() {       # one opens two seconds after the others
    boot 'port=8080:2000,80'
    serves || return 1
    get -o /dev/null "http://$guest:8080/"
    [ $? = 7 ] && sleep 2 && get -o /dev/null "http://$guest:8080/"
}

udp_echo() {
    boot 'udp=7000'
    serves && inside python3 - "$guest" <<'END'
import socket, sys
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(2)
for size in (0, 1, 1472):
    client.sendto(b'x' * size, (sys.argv[1], 7000))
    assert client.recvfrom(2000) == (b'x' * size, (sys.argv[1], 7000))
END
}

filtered() {        # our address is not let in, another one is; pings are not its business
    inside ip address add 10.99.0.9/24 dev "$tap"
    boot "filter=10.99.0.8/30"
    local limit=1 i
    for i in {1..40}; do
        get -o /dev/null --interface 10.99.0.9 "http://$guest/" && break
    done
    get -o /dev/null "http://$guest/"
    [ $? = 28 ] && get -o /dev/null --interface 10.99.0.9 "http://$guest/" && answers_ping 1
}

speaks_ipv6() {     # its first frame is an MLD report that Linux takes for a good one
    rm -f "$scratch/listens"
    inside python3 - "$tap" "$scratch/listens" >"$scratch/first" <<'END' &
import socket, sys
card = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
card.bind((sys.argv[1], 0))
card.settimeout(20)
open(sys.argv[2], 'w').close()
while True:
    frame, where = card.recvfrom(2000)
    if where[2] != socket.PACKET_OUTGOING:
        break
words = lambda data: sum(int.from_bytes(data[i:i + 2], 'big') for i in range(0, len(data), 2))
report = frame[62:90]
total = words(frame[22:54]) + words(report) + len(report) + 58
while total >> 16:
    total = (total & 0xffff) + (total >> 16)
print(frame[0:6].hex(), frame[12:14].hex(), report[0], total == 0xffff)
END
    local listener=$! i
    for i in {1..200}; do
        [ -e "$scratch/listens" ] && break
        sleep 0.1
    done
    boot 'mld=1 arp_delay=500'
    wait "$listener"
    [ "$(cat "$scratch/first")" = '333300000016 86dd 143 True' ] && serves
}

powers_off() {
    boot ''
    serves && [ "$(get "http://$guest/poweroff")" = 'powering off' ] && gone
}

crashes() {
    boot ''
    serves || return 1
    limit=1 get "http://$guest/crash"
    gone
}

power_button() {
    boot ''
    serves && monitor system_powerdown && gone && grep -q 'power button' "$scratch/console"
}

# --- everything for one machine ---

# Cases that start their own guest.
solo() {
    if [ $SECONDS -ge $deadline ]; then
        skip "$machine: $1 (out of time)"
    else
        check "$@"
    fi
    stop
}

test_served() {
    boot 'boot=3 banner=1'
    check 'serves' serves
    check 'tells name, boot and uptime' about
    check 'keeps time' clock
    check 'answers pings' pings
    check '200 requests, one by one' one_by_one
    check '40 requests at once' all_at_once
    check '20 MB, byte by byte' download 'big?bytes=20000000' 20000000 20
    check 'a slow download takes its time' slow
    check '60 connections at once' sixty
    check 'a client that stalls' stalled
    check 'good and bad requests' requests
    check 'a closed port refuses' refused
    check 'banner and echo' banner
    check 'crowded out, it recovers' too_many
    check 'a connection to an earlier boot is reset' earlier_boot
    stop
}

test_machine() {
    machine=$1
    test_served
    solo 'power off by request' powers_off
    solo 'crash by request' crashes
    if [ "$machine" = microvm-off ]; then
        skip "$machine: power button (none without ACPI)"
    else
        solo 'power button' power_button
    fi
}

# What does not depend on the machine is tried on one.
test_options() {
    machine=$1
    solo 'boots have names of their own' boot_ids
    solo 'arp_delay' arp_delayed
    solo 'listen_delay' listen_delayed
    solo 'mute' muted
    solo 'hang' hung
    solo 'loss' lossy
    solo 'several ports' several_ports
    solo 'a port that opens later' late_port
    solo 'UDP echo' udp_echo
    solo 'a firewall' filtered
    solo 'an MLD report' speaks_ipv6
}

missing() {     # what keeps machine $1 from being tested
    local qemu=qemu-system-x86_64 image=$guests/www.elf
    [ "$1" = arm64 ] && qemu=qemu-system-aarch64 image=$guests/www-arm64.img
    command -v "$qemu" >/dev/null || { echo "no $qemu"; return; }
    [ -e "$image" ] || echo "no $image (make guests)"
}

prepare() {
    local tool
    [ "$(id -u)" = 0 ] || { skip 'needs root'; exit 77; }
    for tool in ip curl ping python3; do
        command -v $tool >/dev/null || { skip "needs $tool"; exit 77; }
    done
    ip netns add "$namespace" 2>/dev/null || { skip 'no network namespaces'; exit 77; }
    ip -n "$namespace" tuntap add "$tap" mode tap || { skip 'no TAP devices'; exit 77; }
    ip -n "$namespace" address add "$host/24" dev "$tap"
    ip -n "$namespace" link set lo up
    ip -n "$namespace" link set "$tap" up
    : >"$scratch/console"
}

prepare
options_tried=
[ $# -gt 0 ] || set -- microvm microvm-off pc arm64
for wanted; do
    reason=$(missing "$wanted")
    if [ -n "$reason" ]; then
        skip "$wanted: $reason"
    elif [ $SECONDS -ge $deadline ]; then
        skip "$wanted: out of time"
    else
        test_machine "$wanted"
        [ -n "$options_tried" ] || test_options "$wanted"
        options_tried=yes
    fi
done
echo "# $passed passed, $failed failed, $SECONDS seconds"
[ $((passed + failed)) -gt 0 ] || exit 77
[ "$failed" = 0 ]
