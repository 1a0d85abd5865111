#!/bin/bash
# selftest-xen.sh: boot the unikernels for Xen with xl, and use them.
#
# Runs in a dom0:  tests/xen/run.sh build tests/guests/selftest-xen.sh 600
#
#     GUESTS=DIR      where www-pv.elf and www-pvh.elf are (/build/guests)
#     TYPES="pv pvh"  which of them (pv; pvh too where the machine has nested pages)
#     VIF=SCRIPT      the hot-plug script of their vif (jitsu-vif if it is built, else the stock one)
#
# One line per case, "ok" or "not ok"; exit 1 if any failed.  What these guests share with the others
# (selftest.sh) is tried again only where Xen's rings, events and orders could break it.
set -u

guests=${GUESTS:-/build/guests}
types=${TYPES:-pv}
case ${TYPES:-}:${XEN_CPU:-} in :*npt*) types='pv pvh' ;; esac
vif=${VIF:-vif-bridge}
[ -n "${VIF:-}" ] || [ ! -x /build/jitsu-vif ] || vif=/build/jitsu-vif
patience=${PATIENCE:-60}
bridge=selftest0
host=10.98.0.1
scratch=/tmp/selftest-xen.$$
type=
guest=
name=
count=0
passed=0
failed=0

cleanup() {
    stop
    ip link del $bridge 2>/dev/null
    rm -rf "$scratch"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

get() { curl -s -m "${limit:-20}" "http://$guest$1"; }

check() { # check DESCRIPTION COMMAND...
    local what="$type: $1"
    shift
    if "$@"; then
        echo "ok $what"
        passed=$((passed + 1))
    else
        echo "not ok $what"
        say_what_there_is | sed 's/^/# /'
        failed=$((failed + 1))
    fi
}

# --- a guest's life: each has an address of its own, so that none is taken for another ---

boot() { # boot OPTIONS
    count=$((count + 1))
    name=selftest$count
    guest=10.98.0.$((count + 1))
    cat > "$scratch/$name.cfg" << END
name = "$name"
type = "$type"
kernel = "$guests/www-$type.elf"
memory = 8
vcpus = 1
cmdline = "ip=$guest/24 name=$name $1"
vif = [ "mac=00:16:3e:98:00:$(printf %02x $count),bridge=$bridge,script=$vif" ]
on_reboot = "destroy"
on_crash = "destroy"
END
    xl create "$scratch/$name.cfg" > "$scratch/create" 2>&1
}

stop() {
    [ -z "$name" ] || xl destroy "$name" 2>/dev/null
    name=
}

# What nobody has read of its console is still in its terminal.
console() {
    local terminal
    terminal=$(xenstore-read "/local/domain/$(xl domid "$name" 2>/dev/null)/console/tty" 2>/dev/null) &&
        timeout 1 cat "$terminal"
}

say_what_there_is() {
    xl list
    console
    grep "^$guest " /proc/net/arp
    bridge fdb show br $bridge | grep -v permanent
    tail -n 5 "$scratch/create"
}

within() { # within COMMAND...: does it come true, in time?
    local until=$((SECONDS + patience))
    until "$@"; do
        [ $SECONDS -lt $until ] || return 1
        sleep 0.1
    done
}

answers() { limit=1 get / > /dev/null; }
serves() { within answers; }
is_gone() { ! xl domid "$name" > /dev/null 2>&1; }
gone() { within is_gone && name=; }

# --- cases ---

about() {
    get / > "$scratch/about"
    [ "$(sed -n '1,2p' "$scratch/about")" = "name $name"$'\nboot 3' ] &&
        grep -q '^uptime [0-9]*\.[0-9][0-9][0-9] s$' "$scratch/about"
}

uptime_ms() { get / | sed -n 's/^uptime \([0-9]*\)\.\(...\) s/\1\2/p'; }

clock() { # do three seconds last three seconds?
    local before after
    before=$(uptime_ms)
    sleep 3
    after=$(uptime_ms)
    [ $((after - before)) -ge 2900 ] && [ $((after - before)) -lt 8000 ]
}

pings() { ping -q -c 5 -s 1400 -W 10 "$guest" > /dev/null; }

one_by_one() {
    local i urls=()
    for i in {1..40}; do urls+=("http://$guest/"); done
    [ "$(curl -s -m 60 "${urls[@]}" | grep -cx "name $name")" = 40 ]
}

at_once() {
    local i
    for i in {1..20}; do get / > "$scratch/page.$i" & done
    wait
    [ "$(cat "$scratch"/page.* | grep -cx "name $name")" = 20 ]
}

download() { # download PATH BYTES: byte by byte
    limit=60 get "$1" | cmp -s - <(seq -f %015.0f 0 16 "$2" | head -c "$2")
}

paused() { # what was paused goes on, with what came meanwhile
    xl pause "$name" && ! answers && xl unpause "$name" && serves
}

two_boots() { # without boot=, each boot has a name of its own
    local first='' second=''
    boot '' && serves && first=$(get / | sed -n 's/^boot //p')
    stop
    boot '' && serves && second=$(get / | sed -n 's/^boot //p')
    stop
    [ -n "$first" ] && [ "$first" != "$second" ]
}

lossy() { boot 'loss=20' && serves && download '/big?bytes=200000' 200000; }

another_mac() {
    boot 'mac=00:16:3e:98:01:01' && serves && grep -q "^$guest .*00:16:3e:98:01:01" /proc/net/arp
}

ordered() { # ordered WORD: an order of the host is acknowledged, and obeyed
    local id
    boot 'shutdown_delay=1000' && serves || return 1
    id=$(xl domid "$name")
    xl "$1" "$name" > /dev/null 2>&1 && within acknowledged && gone
}

acknowledged() { [ "$(xenstore-read "/local/domain/$id/control/shutdown" 2>&1)" = '' ]; }

saved() { # it goes on from where it was, twice
    local up after
    boot 'boot=7' && serves || return 1
    for _ in 1 2; do
        up=$(get / | sed -n 's/^uptime \([0-9]*\).*/\1/p')
        xl save "$name" /tmp/saved > /dev/null 2>&1 && ! xl domid "$name" > /dev/null 2>&1 || return 1
        xl restore /tmp/saved > /dev/null 2>&1 && serves || return 1
        get / | grep -q '^boot 7$' || return 1
        after=$(get / | sed -n 's/^uptime \([0-9]*\).*/\1/p')
        [ "$after" -ge "$up" ] || return 1
    done
}

saved_and_kept() { # suspended for a moment, and resumed where it was
    boot '' && serves && xl save -c "$name" /tmp/saved > /dev/null 2>&1 && serves
}

powers_off() { boot '' && serves && [ "$(get /poweroff)" = 'powering off' ] && gone; }

crashes() {
    boot '' && serves || return 1
    limit=2 get /crash
    gone
}

solo() {
    check "$@"
    stop
}

test_type() {
    type=$1
    boot 'boot=3'
    check 'serves' serves
    check 'tells name, boot and uptime' about
    check 'keeps time' clock
    check 'answers pings' pings
    check '40 requests, one by one' one_by_one
    check '20 requests at once' at_once
    check '1 MB, byte by byte' download '/big?bytes=1000000' 1000000
    check 'pause and unpause' paused
    stop
    solo 'boots have names of their own' two_boots
    solo 'loss' lossy
    solo 'a MAC of its own' another_mac
    solo 'xl shutdown' ordered shutdown
    solo 'xl reboot' ordered reboot
    solo 'is saved and restored, twice' saved
    solo 'is suspended, and goes on in its place' saved_and_kept
    solo 'power off by request' powers_off
    solo 'crash by request' crashes
}

mkdir -p "$scratch" /var/log/xen
ip link add $bridge address 02:00:00:00:98:01 type bridge && ip addr add $host/24 dev $bridge &&
    ip link set $bridge up || exit 1
for wanted in $types; do
    test_type "$wanted"
done
echo "# $passed passed, $failed failed"
[ $((passed + failed)) -gt 0 ] && [ "$failed" = 0 ]
