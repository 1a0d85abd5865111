#!/bin/bash
# Services whose address is learned of their VMs: what a domain turns out to have, remembered, held once it
# proved stable, noticed when it changes, and refused where it is not the VM's to have.
# shellcheck disable=SC2034,SC2154,SC2016 # what lib.sh reads and sets; eval expands later
hold=park
. "$(dirname "$0")/lib.sh"

# learned_service NAME [KEY JSON]...: of an existing domain
learned_service() {
    local what=$1
    shift
    domain_service "$what" 0 ip '["learned"]' stop '"destroy"' "$@"
}

# The domain's guest takes another address at its next boot.
move_domain() { # move_domain NAME ADDRESS
    vsh dumpxml --inactive "$1" | sed "s|ip=[0-9.]*/24|ip=$2/24|" > "$dir/moved.xml"
    vsh define "$dir/moved.xml" > /dev/null
}

is_learned() { ctl --json show "$1" | grep -q "\"ip\":\\[\"$2\"\\]"; }
is_stable() { [ "$(field ip_stable "$1")" = true ]; }

run_once() { # run_once NAME [ITS-PAGE'S]: one boot, from a query to off
    summon "$1" | grep -q "^name ${2:-$1}" || { fail "no page of $1: $(ctl why "$1")"; return 1; }
    ctl stop "$1" > /dev/null || { fail "$1 does not stop"; return 1; }
    wait_state "$1" off || { fail "$1 is $(state_of "$1")"; return 1; }
}

test_learned_held_and_moved() {
    start_libvirtd && define_domain vm1 30 || return 1
    configure "$(learned_service vm1)"
    start_jitsud || return 1
    [ "$(field ip_stable vm1)" = false ] || fail "it is said to be stable: $(ctl show vm1)" || return 1
    wait_until 20 eval "ctl --json show vm1 | grep -q 'not known yet'" || fail "why it is not held: $(ctl show vm1)" || return 1
    # the first query waits until the guest has shown its address
    [ "$(ask vm1)" = 10.77.0.30 ] || fail "the answer is $(ask vm1): $(ctl show vm1)" || return 1
    [ "$(field ip_from vm1)" = arp ] || fail "it is said to come from $(field ip_from vm1)" || return 1
    ctl show vm1 | grep -q "^ip since *$(date +%Y-)\|^ip since *[0-9][0-9]:" ||
        fail "since when: $(ctl show vm1)" || return 1
    run_once vm1 || return 1
    is_held vm1 && fail "it is held after one boot" && return 1
    # remembered by the next launcher
    sleep 1
    kill -9 "$(process_pid launcher)"
    wait_until 10 is_learned vm1 10.77.0.30 || fail "it is forgotten: $(ctl show vm1)" || return 1
    wait_until 30 hypervisor_ready || return 1
    run_once vm1 || return 1
    wait_until 10 is_stable vm1 || fail "two boots do not count: $(ctl show vm1)" || return 1
    wait_held vm1 || return 1
    # held: a client that has the address already wakes it
    page 10.77.0.30 | grep -q '^name vm1' || fail "a connection does not wake it" || return 1
    ctl stop vm1 > /dev/null && wait_state vm1 off || return 1
    # another address at the next boot
    move_domain vm1 10.77.0.31
    ctl --json watch > "$dir/events" 2>&1 &
    extra_pids+=" $!"
    ctl start vm1 > /dev/null 2>&1
    wait_until 20 is_learned vm1 10.77.0.31 || fail "it has $(field ip vm1) still: $(ctl show vm1)" || return 1
    wait_until 20 eval '[ "$(ask vm1)" = 10.77.0.31 ]' || fail "DNS says $(ask vm1)" || return 1
    page 10.77.0.31 | grep -q '^name vm1' || fail "no page at the new address" || return 1
    grep -q '10.77.0.31/24, before 10.77.0.30/24' "$dir/events" || fail "no event: $(cat "$dir/events")" || return 1
    ctl stop vm1 > /dev/null && wait_state vm1 off || return 1
    is_held vm1 && fail "the new address is held at once" && return 1
    # the old claim is released
    capture_begin "$client" eth0
    in_client ping -c 1 -W 1 10.77.0.30 > /dev/null 2>&1
    capture_end
    seen 'ARP, Reply 10.77.0.30' && fail "the old address is still claimed" && return 1
    return 0
}

test_what_is_not_the_vms() {
    start_libvirtd && define_domain host 1 && define_domain other 40 && define_domain away 50 || return 1
    move_domain away 10.99.0.5
    configure "$(learned_service host start_timeout '"15s"')" "$(learned_service other start_timeout '"15s"')" \
        "$(learned_service away start_timeout '"15s"')" "$(service fixed 40)"
    start_jitsud || return 1
    for what in host other away; do
        ctl start $what > "$dir/out-$what" 2>&1 &
        extra_pids+=" $!"
    done
    for what in host other away; do
        wait_until 60 grep -q 'address that it may not have' "$dir/out-$what" ||
            fail "the reason for $what: $(cat "$dir/out-$what")" || return 1
    done
    ctl --json show host | grep -q "this host's own" || fail "$(ctl show host)" || return 1
    ctl --json show other | grep -q 'service fixed' || fail "$(ctl show other)" || return 1
    ctl --json show away | grep -q 'no network of bridge' || fail "$(ctl show away)"
}

test_started_by_hand() {
    start_libvirtd && define_domain vm1 30 || return 1
    vsh start vm1 > /dev/null
    configure "$(learned_service vm1)"
    sleep 1 # what it says when it boots is over
    in_host ping -c 1 -W 5 10.77.0.30 > /dev/null || return 1
    start_jitsud || return 1
    wait_state vm1 adopted 10 || fail "it is $(state_of vm1)" || return 1
    [ "$(ask vm1)" = 10.77.0.30 ] || fail "the answer is $(ask vm1): $(ctl show vm1)" || return 1
    [ -n "$(field ip_from vm1)" ] || fail "it is said to come from $(field ip_from vm1)"
}

# lease_for ADDRESS: a DHCP server on br0 that gives nothing else
lease_for() {
    [ -z "${dhcp_pid:-}" ] || end_pid "$dhcp_pid"
    : > "$dir/leases"
    printf 'interface br0\nstart %s\nend %s\nlease_file %s/leases\npidfile %s/dhcp.pid\noption subnet 255.255.255.0\noption lease 600\n' \
        "$1" "$1" "$dir" "$dir" > "$dir/udhcpd.conf"
    nsenter --net="/run/netns/$host" -- busybox udhcpd -f "$dir/udhcpd.conf" > "$dir/udhcpd.log" 2>&1 &
    dhcp_pid=$!
    extra_pids+=" $dhcp_pid"
}

# A guest that asks a DHCP server, and announces nothing.
test_dhcp() {
    [ -f "$dir/images/linux" ] || skip "the Linux guest is not built (make guests-linux)"
    busybox udhcpd --help > /dev/null 2>&1 || skip "needs busybox with udhcpd"
    start_libvirtd && define_domain vm1 30 || return 1
    sed -e "s|/images/www.elf|/images/linux|; s|</kernel>|</kernel><initrd>$dir/images/initrd</initrd>|" \
        -e "s|<cmdline>.*</cmdline>|<cmdline>ip=dhcp name=vm1 console=ttyS0 quiet tsc_early_khz=$(tsc_khz)</cmdline>|" \
        -e "s|>32</memory>|>128</memory>|" "$dir/vm1.xml" > "$dir/linux.xml"
    vsh undefine vm1 && vsh define "$dir/linux.xml" > /dev/null || return 1
    lease_for 10.77.0.60
    configure
    start_jitsud || return 1
    wait_until 60 grep -q "hypervisor .local. is ready" "$dir/log" || return 1
    ctl adopt vm1 --ports 80 --start_timeout 120s --max_hold 120s --stop destroy > /dev/null || return 1
    PATIENCE=120 patience=120 run_once vm1 || { cat "$dir/udhcpd.log"; return 1; }
    is_learned vm1 10.77.0.60 || fail "$(ctl show vm1)" || return 1
    # the next lease is another
    lease_for 10.77.0.61
    patience=120 summon vm1 | grep -q '^name vm1' || fail "no page: $(ctl why vm1)" || return 1
    is_learned vm1 10.77.0.61 || fail "$(ctl show vm1)" || return 1
    [ "$(ask vm1)" = 10.77.0.61 ] || fail "DNS says $(ask vm1)"
}

# A domain with a network card of this kind, and no kernel: it is only looked at.
define_odd() { # define_odd NAME INTERFACE-XML
    cat > "$dir/$1.xml" <<END
<domain type='qemu'><name>$1</name><memory unit='MiB'>32</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>$2</devices></domain>
END
    vsh define "$dir/$1.xml" > /dev/null
}

# cannot_adopt DOMAIN WORDS ARGS...: refused with these words, and nothing is changed
cannot_adopt() {
    local domain=$1 words=$2
    shift 2
    ctl adopt "$domain" "$@" > "$dir/out" 2>&1 && fail "$domain is adopted" && return 1
    grep -q "$words" "$dir/out" || fail "$domain: \"$words\" is not in: $(cat "$dir/out")" || return 1
    ! ctl export | grep -q '"name"' || fail "it is registered all the same"
}

test_adopt() {
    start_libvirtd && define_domain 'Web.Server 1' 30 && define_domain vm2 31 || return 1
    add_bridge br9 10.99.0.1/24
    ip -n "$host" link add br8 type bridge stp_state 0 forward_delay 0
    define_odd usernet "<interface type='user'><model type='virtio'/></interface>"
    define_odd nonic ''
    define_odd noaddr "<interface type='bridge'><source bridge='br8'/></interface>"
    define_odd nobridge "<interface type='bridge'><source bridge='br7'/></interface>"
    define_odd elsewhere "<interface type='bridge'><source bridge='br9'/></interface>"
    vsh dumpxml --inactive 'Web.Server 1' > "$dir/before"
    configure
    start_jitsud || return 1
    wait_until 60 grep -q "hypervisor .local. is ready" "$dir/log" || return 1
    cannot_adopt nothere 'no such domain' || return 1
    cannot_adopt usernet 'user-mode one.*--hold off and --ip' || return 1
    cannot_adopt usernet 'user-mode one.*--ip ADDRESS' --hold off || return 1
    cannot_adopt nonic 'it has no NIC' || return 1
    cannot_adopt noaddr 'br8 has no IPv4 address' || return 1
    cannot_adopt noaddr 'probe_ip' --ip 10.88.0.5/24 || return 1
    cannot_adopt nobridge 'br7' || return 1
    cannot_adopt vm2 'no hypervisor "mars"' --hypervisor mars || return 1
    cannot_adopt vm2 'in none of the zones' --dns vm2.example.com || return 1
    ctl adopt vm2 --dry-run > "$dir/out" 2>&1 || fail "$(cat "$dir/out")" || return 1
    grep -q 'nothing was changed' "$dir/out" && ! ctl export | grep -q vm2 || fail "not dry: $(cat "$dir/out")" || return 1
    ctl adopt elsewhere --dry-run | grep -q 'br9 has its defaults' || fail "nothing is said of br9" || return 1
    ctl adopt usernet --dry-run --hold off --ip 10.0.2.15/24 > "$dir/out" 2>&1 || fail "$(cat "$dir/out")" || return 1
    # two commands: it is adopted, and it is woken
    ctl adopt 'Web.Server 1' > "$dir/out" 2>&1 || fail "$(cat "$dir/out")" || return 1
    summon web-server-1 | grep -q '^name Web' || fail "no page: $(ctl why web-server-1)" || return 1
    [ "$(field idle_timeout_ms web-server-1)" = null ] || fail "it may be stopped" || return 1
    wait_until 5 is_learned web-server-1 10.77.0.30 || fail "$(ctl show web-server-1)" || return 1
    ctl adopt 'Web.Server 1' --name other > "$dir/out" 2>&1 && fail "it is adopted twice" && return 1
    grep -q 'web-server-1' "$dir/out" || fail "twice: $(cat "$dir/out")" || return 1
    ctl adopt vm2 --name web-server-1 > "$dir/out" 2>&1 && fail "two of one name" && return 1
    ctl history | grep -q 'adopt web-server-1' || fail "$(ctl history)" || return 1
    # told otherwise, it stops; the second boot proves its address, and from then on it is held
    ctl set web-server-1 idle_timeout=2s dns_horizon=1s stop=destroy > /dev/null && wait_state web-server-1 off 60 || return 1
    ctl set web-server-1 idle_timeout=never > /dev/null
    run_once web-server-1 Web || return 1
    wait_held web-server-1 || return 1
    page 10.77.0.30 | grep -q '^name Web' || fail "a connection does not wake it" || return 1
    # by another name it is the same VM, so that what was learned of it holds; also for the next launcher
    ctl stop web-server-1 > /dev/null && wait_state web-server-1 off || return 1
    ctl rename web-server-1 site > /dev/null || fail "it is not renamed" || return 1
    is_learned site 10.77.0.30 && is_stable site || fail "its address is forgotten: $(ctl show site)" || return 1
    wait_held site || return 1
    page 10.77.0.30 | grep -q '^name Web' || fail "a connection does not wake it by its new name" || return 1
    ctl stop site > /dev/null && wait_state site off || return 1
    sleep 1
    kill -9 "$(process_pid launcher)"
    wait_until 10 is_learned site 10.77.0.30 && is_stable site || fail "the next launcher has forgotten it" || return 1
    vsh dumpxml --inactive 'Web.Server 1' > "$dir/after"
    cmp -s "$dir/before" "$dir/after" || fail "the domain was changed"
}

run_tests "$@"
