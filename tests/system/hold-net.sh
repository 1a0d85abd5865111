#!/bin/bash
# Where clients and VMs may be: the host itself, behind a router, on one of several bridges, on one that leads
# nowhere, on libvirt's own network; and ports that come and go.
hold=park
. "$(dirname "$0")/lib.sh"

# curl_from COMMAND... -- IP[:PORT]: the seconds of connecting; the page goes to $dir/connected
connect_from() {
    local where=()
    while [ "$1" != -- ]; do where+=("$1"); shift; done
    "${where[@]}" curl -s --noproxy '*' -m "$patience" -o "$dir/connected" -w '%{time_connect}' "http://$2/"
}

served() { # served WHO SERVICE WHERE... -- IP: at once, and its page
    local who=$1 service=$2 took
    shift 2
    took=$(connect_from "$@") || fail "$who: no page (curl: $?)" || return 1
    at_once "$took" "$service" || fail "$who: connecting took $took s" || return 1
    grep -q "^name $service$" "$dir/connected" || fail "$who: another page" || return 1
}

# One that is reached through the host, which forwards.
add_routed_client() {
    ip netns add "$name-far"
    ip -n "$name-far" link set lo up
    ip -n "$host" link add r0 type veth peer name eth0 netns "$name-far"
    ip -n "$host" addr add 10.90.0.1/24 dev r0
    ip -n "$host" link set r0 up
    ip -n "$name-far" addr add 10.90.0.2/24 dev eth0
    ip -n "$name-far" link set eth0 up
    ip -n "$name-far" route add default via 10.90.0.1
    in_host sysctl -qw net.ipv4.ip_forward=1
}

test_host_neighbour_and_routed_client() {
    add_routed_client
    configure "$(service www 20)"
    start_jitsud && wait_held www || return 1
    local i
    for i in $(rounds 2 20); do
        ip -n "$host" neigh flush dev br0
        forget_neighbours
        served 'the host itself' www in_host -- 10.77.0.20 && ctl stop www > /dev/null || return 1
        served 'a neighbour' www in_client -- 10.77.0.20 && ctl stop www > /dev/null || return 1
        served 'a routed client' www in_station far -- 10.77.0.20 && ctl stop www > /dev/null || return 1
    done
    # while it runs, too
    page 10.77.0.20 > /dev/null
    served 'the host itself' www in_host -- 10.77.0.20 && served 'a routed client' www in_station far -- 10.77.0.20
}

# The dead connection of a routed client is reset, too: the RST goes back the way the segment came.
test_routed_client_is_refused() {
    add_routed_client
    configure "$(service www 20 machine.kernel "\"$dir/images/nothere.elf\"")"
    start_jitsud && wait_held www || return 1
    in_station far curl -s -m 10 -o /dev/null http://10.77.0.20/
    [ $? = 7 ] || fail "not refused"
}

test_two_bridges() {
    add_bridge br1 10.78.0.1/24
    add_station two br1 10.78.0.2/24
    bridges='{"name": "br1", "conflict_probe": "0s"}'
    configure "$(service one 20)" \
        "$(service two 21 ip '["10.78.0.20/24"]' machine.nics '[{"bridge": "br1"}]')"
    start_jitsud && wait_held one two || return 1
    served one one in_client -- 10.77.0.20 || return 1
    is_state two off || fail "two is $(state_of two)" || return 1
    served two two in_station two -- 10.78.0.20 || return 1
    [ "$(ip -n "$host" -o link show | grep -c ': jh')" = 2 ] || fail "not one tap for each bridge" || return 1
    # nobody is held any more on one of them
    configure "$(service one 20)"
    bridges=
    configure "$(service one 20)"
    ctl reload || return 1
    wait_until 5 eval '[ "$(ip -n "$host" -o link show | grep -c ": jh")" = 1 ]' || fail "its tap is left" || return 1
    ctl stop one > /dev/null
    served 'one, later' one in_client -- 10.77.0.20
}

# No port at all but ours: the only client is the host.
test_bridge_that_leads_nowhere() {
    add_bridge br1 10.78.0.1/24
    bridges='{"name": "br1", "conflict_probe": "0s"}'
    configure "$(service two 21 ip '["10.78.0.20/24"]' machine.nics '[{"bridge": "br1"}]')"
    start_jitsud && wait_held two || return 1
    local i
    for i in $(rounds 2 10); do
        ip -n "$host" neigh flush dev br1
        served 'the host' two in_host -- 10.78.0.20 && ctl stop two > /dev/null || return 1
    done
}

# As libvirt makes its default network: STP on, no port but VMs', masqueraded to the outside, and a
# forwarded port from there.
test_network_of_libvirt() {
    command -v nft > /dev/null || skip "nft is not installed"
    ip -n "$host" link add virbr0 address 52:54:00:77:00:02 type bridge stp_state 0 forward_delay 0
    ip -n "$host" addr add 192.168.122.1/24 dev virbr0
    ip -n "$host" link set virbr0 type bridge stp_state 1
    ip -n "$host" link set virbr0 up
    in_host sysctl -qw net.ipv4.ip_forward=1
    in_host nft -f - <<'END' || skip "nft does not work here"
table ip test {
    chain in { type nat hook prerouting priority dstnat; tcp dport 8080 dnat to 192.168.122.20:80; }
    chain out { type nat hook postrouting priority srcnat; ip saddr 192.168.122.0/24 oifname != "virbr0" masquerade; }
}
END
    bridges='{"name": "virbr0", "conflict_probe": "0s"}'
    configure "$(service vm 20 ip '["192.168.122.20/24"]' machine.nics '[{"bridge": "virbr0"}]')"
    start_jitsud && wait_held vm || return 1
    local took
    grep -q 'virbr0.*\(STP\|spanning\|forward\)' "$dir/log" ||
        fail "no word about STP: $(grep virbr0 "$dir/log")" || return 1
    # a port waits twice the bridge's forward delay until it forwards: four seconds here, ours and the VM's; the
    # client is served as soon as it does, and not a retransmission later
    wait_until 10 eval 'bridge -n "$host" link show | grep "jh.*state forwarding"' || fail "our port does not forward" ||
        return 1
    took=$(connect_from in_host -- 192.168.122.20) || fail "the host: no page (curl: $?)" || return 1
    between 0 5.6 "$took" || fail "the host: connecting took $took s" || return 1
    ctl stop vm > /dev/null || return 1
    took=$(connect_from in_client -- $host_ip:8080) ||
        fail "through the forwarded port: no page (curl: $?)" || return 1
    between 0 5.6 "$took" || fail "through the forwarded port: connecting took $took s"
}

# An existing domain brings a port of its own; it appears with the VM and goes with it.
test_domain_with_its_own_port() {
    start_libvirtd && define_domain vm1 30 && define_domain vm2 31 || return 1
    configure "$(domain_service vm1 30 stop '"destroy"')" "$(domain_service vm2 31)"
    start_jitsud && wait_held vm1 vm2 || return 1
    local i
    for i in $(rounds 2 20); do
        forget_neighbours
        served "round $i" vm1 in_client -- 10.77.0.30 || return 1
        ctl stop vm1 > /dev/null || return 1
        wait_held vm1 || return 1
    done
    # started by hand: its clients go straight to it; ended by hand: they are held again
    vsh start vm2 > /dev/null
    wait_state vm2 adopted 10 || fail "vm2 is $(state_of vm2)" || return 1
    served 'started by hand' vm2 in_client -- 10.77.0.31 || return 1
    vsh destroy vm2 > /dev/null
    wait_state vm2 off 10 || fail "destroyed by hand, vm2 is $(state_of vm2)" || return 1
    served 'after the end by hand' vm2 in_client -- 10.77.0.31
}

# A NIC that is on no bridge of ours cannot be held: it is said why, and the name wakes it as ever.
test_domain_without_a_bridge() {
    start_libvirtd && define_domain vm1 30 || return 1
    sed -i "s|<interface type='bridge'><source bridge='br0'/>|<interface type='user'>|" "$dir/vm1.xml"
    vsh undefine vm1 > /dev/null && vsh define "$dir/vm1.xml" > /dev/null || return 1
    configure "$(domain_service vm1 30 ready '["delay:100ms"]')"
    start_jitsud || return 1
    wait_until 10 eval 'ctl show vm1 | grep -q "user"' || fail "no reason: $(ctl show vm1)" || return 1
    is_held vm1 && fail "it is held" && return 1
    ask vm1 | grep -q 10.77.0.30 || fail "its name does not wake it: $(ctl show vm1)"
}

vm_port() { ip -n "$host" -o link show | sed -n 's/^[0-9]*: \(jt[^:@]*\).*/\1/p'; }

# A VM's port leaves the bridge and comes back, which takes the bridge's entries along.
test_port_leaves_and_comes_back() {
    configure "$(service www 20)"
    start_jitsud && wait_held www || return 1
    served 'at first' www in_client -- 10.77.0.20 || return 1
    local port took; port=$(vm_port)
    ip -n "$host" link set "$port" nomaster
    sleep 0.2
    connect 10.77.0.20 > "$dir/took" & # while it is away
    sleep 0.3
    ip -n "$host" link set "$port" master br0
    wait $! || fail "who came while it was away was not served" || return 1
    served 'later' www in_client -- 10.77.0.20 || return 1
    [ "$(field boots www)" = 1 ] || fail "it was booted again" || return 1
    # the VM ends while its port is on no bridge
    ip -n "$host" link set "$port" nomaster
    ctl stop www > /dev/null || return 1
    served 'after the next boot' www in_client -- 10.77.0.20
}

# Somebody deletes our tap, or takes it off the bridge: it is made again.
test_our_tap_is_taken_away() {
    configure "$(service www 20)"
    start_jitsud && wait_held www || return 1
    local tap; tap=$(ip -n "$host" -o link show | sed -n 's/^[0-9]*: \(jh[^:@]*\).*/\1/p')
    [ -n "$tap" ] || fail "there is none" || return 1
    ip -n "$host" link set "$tap" nomaster
    wait_until 5 eval 'bridge -n "$host" fdb show br br0 | grep -q sticky' ||
        fail "taken off, it stays off" || return 1
    served 'taken off' www in_client -- 10.77.0.20 && ctl stop www > /dev/null || return 1
    ip -n "$host" link del "$tap"
    wait_until 5 eval 'bridge -n "$host" fdb show br br0 | grep -q sticky' ||
        fail "deleted, it stays away" || return 1
    served 'deleted' www in_client -- 10.77.0.20
}

run_tests "$@"
