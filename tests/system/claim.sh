#!/bin/bash
# Manners on a network with others: an address that somebody has is never taken, one that is ours is
# answered for, and nothing stays behind.
hold=park
. "$(dirname "$0")/lib.sh"

in_conflict() { [ "$(field stage "$1")" = conflict ]; }
wait_conflict() { wait_until 10 in_conflict "$1" || fail "$1 is not in conflict: $(ctl show "$1")"; }
mac_in() { ip -n "$name-$1" -o link show eth0 | sed -n 's|.*link/ether \([^ ]*\).*|\1|p'; }

# A machine that has the address, under traffic from before jitsud starts until after: every ping is
# answered, and every SYN comes to it.
test_address_in_use() {
    add_station owner br0 10.77.0.20/24
    conflict_probe=300ms
    configure "$(service www 20)" "$(service free 21)"
    capture_begin "$name-owner" eth0 || return 1
    in_client ping -n -q -c 600 -i 0.01 -W 1 10.77.0.20 > "$dir/pings" &
    local pinging=$!
    in_client "$packets" scan eth0 10.77.0.2 1 10.77.0.20 1 80 3000 1000 &
    local scanning=$!
    extra_pids+=" $pinging $scanning"
    start_jitsud && wait_held free || return 1
    wait_conflict www || return 1
    ctl --json show www | grep -q "$(mac_in owner)" || fail "it does not say who: $(ctl show www)" || return 1
    wait "$scanning" || fail "the SYNs did not go out" || return 1
    wait "$pinging"
    capture_end
    [ "$(seen 'in .* tcp 10.77.0.2:[0-9]+ 10.77.0.20:80 S ')" = 3000 ] ||
        fail "of 3000 SYNs it had $(seen 'in .* tcp 10.77.0.2:[0-9]+ 10.77.0.20:80 S ')" || return 1
    grep -q ' 0% packet loss' "$dir/pings" || fail "it lost frames: $(tail -3 "$dir/pings")" || return 1
    bridge -n "$host" fdb show br br0 | grep "^$(mac_of www) .*sticky" && fail "its MAC is claimed" && return 1
    page 10.77.0.21 | grep -q '^name free' || fail "another service suffers"
}

# It comes later, and says so: we yield at once; the owner's traffic does not suffer.
test_address_is_taken_later() {
    configure "$(service www 20)" "$(service defended 21 on_conflict '"defend"')"
    start_jitsud && wait_held www defended || return 1
    add_station owner br0 10.77.0.20/24
    in_station owner "$packets" arp eth0 ask "$(mac_in owner)" 10.77.0.20 10.77.0.20
    wait_conflict www || return 1
    ctl --json show www | grep -q "$(mac_in owner)" || fail "it does not say who: $(ctl show www)" || return 1
    [ "$(grep -c 'service=www.*10.77.0.20' "$dir/log")" -le 2 ] || fail "it says so again and again" || return 1
    forget_neighbours
    in_client ping -n -q -c 50 -i 0.01 -W 1 10.77.0.20 | grep -q ' 0% packet loss' ||
        fail "the owner lost frames" || return 1
    # one that is defended is announced again, and stays ours
    capture_begin "$client" eth0 || return 1
    in_client "$packets" arp eth0 tell 02:00:00:00:00:66 10.77.0.21 10.77.0.21
    sleep 0.5
    in_client "$packets" arp eth0 tell 02:00:00:00:00:66 10.77.0.21 10.77.0.21
    sleep 0.5
    capture_end
    is_held defended || fail "it was given up: $(ctl show defended)" || return 1
    [ "$(seen "in $(mac_of defended) .* arp .* 10.77.0.21 $(mac_of defended) 10.77.0.21")" = 1 ] ||
        fail "it was not announced once: $(grep arp "$dir/capture")"
}

# RFC 5227: whoever looks whether the address is free, learns that it is not.
test_probes_are_answered() {
    configure "$(service www 20)"
    start_jitsud && wait_held www || return 1
    local mac; mac=$(mac_of www)
    capture_begin "$client" eth0 || return 1
    in_client "$packets" arp eth0 ask 02:00:00:00:00:55 0.0.0.0 10.77.0.20
    sleep 0.3
    in_client "$packets" arp eth0 ask 02:00:00:00:00:55 10.77.0.2 10.77.0.20
    in_client "$packets" arp eth0 ask 02:00:00:00:00:55 10.77.0.2 10.77.0.99
    sleep 0.3
    capture_end
    [ "$(seen "in $mac ff:ff:ff:ff:ff:ff arp tell 10.77.0.20 $mac 0.0.0.0")" = 1 ] ||
        fail "the probe was not answered" || return 1
    [ "$(seen "in $mac 02:00:00:00:00:55 arp tell 10.77.0.20 $mac 10.77.0.2")" = 1 ] ||
        fail "the question was not answered" || return 1
    [ "$(seen 'arp tell 10.77.0.99')" = 0 ] || fail "an answer for an address that is not ours"
}

is_asked_and_answers() {
    in_client "$packets" arp eth0 ask 02:00:00:00:00:55 10.77.0.2 10.77.0.20
    [ "$(seen 'arp tell 10.77.0.20')" -ge 1 ]
}

# We look before we claim: three probes from nobody, and not one answer before.
test_it_looks_before() {
    capture_begin "$client" eth0 || return 1
    conflict_probe=600ms
    configure "$(service www 20)"
    start_jitsud || return 1
    in_client "$packets" arp eth0 ask 02:00:00:00:00:55 10.77.0.2 10.77.0.20
    wait_held www || return 1
    local mac; mac=$(mac_of www)
    sleep 0.3
    capture_end
    [ "$(seen "in $mac ff:ff:ff:ff:ff:ff arp ask 0.0.0.0 $mac 10.77.0.20")" = 3 ] ||
        fail "not three probes: $(grep arp "$dir/capture")" || return 1
    [ "$(sed -n "/in $mac .* arp tell 10.77.0.20/q; p" "$dir/capture" | grep -c 'arp ask 0.0.0.0')" = 3 ] ||
        fail "it answered before it had looked" || return 1
    # what was looked at once is known after a restart of ours: the claim goes on without a gap
    capture_begin "$client" eth0 || return 1
    kill -9 "$(process_pid synproxy)"
    wait_until 5 is_asked_and_answers || fail "not answered after a restart" || return 1
    capture_end
    [ "$(seen 'arp ask 0.0.0.0')" = 0 ] || fail "it looks again"
}

# Another host on the same network, with a jitsud of its own: from here on second COMMAND is about it.
add_second_host() {
    ip netns add "$name-h2"
    ip -n "$name-h2" link set lo up
    ip -n "$name-h2" link add br0 address 02:00:00:77:00:03 type bridge stp_state 0 forward_delay 0 mcast_snooping 0
    ip -n "$name-h2" addr add 10.77.0.3/24 dev br0
    ip -n "$name-h2" link set br0 up
    ip -n "$host" link add h2 type veth peer name up0 netns "$name-h2"
    ip -n "$host" link set h2 master br0 up
    ip -n "$name-h2" link set up0 master br0 up
    mkdir -p "$dir/second/run" "$dir/second/state"
    cp -r "$dir/images" "$dir/second/"
}
second() {
    local dir=$dir/second host=$name-h2 host_ip=10.77.0.3 jitsud_pid=
    "$@"
}
start_second() {
    configure "$@"
    sed -i 's/, "\[fd77::1\]:53"//' "$dir/jitsud.json"
    start_jitsud || return 1
    extra_pids+=" $jitsud_pid"
}

# The same service on two hosts that are configured alike, and, in this test, even have the same machine-id,
# and so the same MAC for it.
test_second_jitsud_yields() {
    conflict_probe=300ms
    configure "$(service www 20)"
    start_jitsud && wait_held www || return 1
    add_second_host
    second start_second "$(second service www 20)" || return 1
    second wait_conflict www || return 1
    bridge -n "$name-h2" fdb show | grep -w sticky && fail "the second one claims as well" && return 1
    is_held www || fail "the first one gave way: $(ctl show www)" || return 1
    # clients of both sides are served by the first
    page 10.77.0.20 | grep -q '^boot 1$' || fail "no page" || return 1
    in_station h2 curl -s -m 5 http://10.77.0.20/ | grep -q '^boot 1$' || fail "no page behind the second host" ||
        return 1
    [ "$(our_vms | wc -l)" = 1 ] || fail "$(our_vms | wc -l) VMs" || return 1
    ctl stop www > /dev/null
    in_station h2 curl -s -m "$patience" http://10.77.0.20/ | grep -q '^boot 2$' ||
        fail "not woken from behind the second host" || return 1
    # the first one goes away for good: the second takes over, once it has looked again
    [ -n "${LONG:-}" ] || return 0
    ctl stop www > /dev/null
    stop_jitsud
    wait_until 90 eval 'in_client curl -s -m 5 http://10.77.0.20/ | grep -q "^boot 1$"' ||
        fail "the second one never takes over"
}

# A VM speaks with its own addresses, and none else: it cannot take another's.
test_guest_cannot_take_anothers_address() {
    configure "$(service www 20 ready '["delay:500ms"]' machine.cmdline '"ip=10.77.0.66/24 name={name}"')"
    start_jitsud && wait_held www || return 1
    ctl start www > /dev/null || fail "it does not start" || return 1
    capture_begin "$client" eth0 || return 1
    forget_neighbours
    in_client curl -s -m 2 http://10.77.0.66/ && fail "it is reached at an address that is not its own" && return 1
    ctl stop www > /dev/null
    capture_end
    [ "$(seen '10.77.0.66 .*arp tell|arp (ask|tell) 10.77.0.66')" = 0 ] ||
        fail "it was heard: $(grep 10.77.0.66 "$dir/capture")"
}

# Held no longer, and held again: by the configuration.
test_reload() {
    configure "$(service www 20)" "$(service gone 21)"
    start_jitsud && wait_held www gone || return 1
    configure "$(service www 20 hold '"off"')"
    ctl reload || return 1
    wait_until 5 nothing_is_held || fail "it is held on: $(nothing_is_held)" || return 1
    forget_neighbours
    in_client curl -s -m 2 http://10.77.0.20/ && fail "it was woken by a SYN" && return 1
    configure "$(service www 20)" "$(service fresh 22)"
    ctl reload && wait_held www fresh || return 1
    page 10.77.0.22 | grep -q '^name fresh' || fail "fresh: no page" || return 1
    page 10.77.0.20 | grep -q '^boot 1$' || fail "www: no page"
}

# A stop in good order: nothing of ours stays on the bridge but running VMs, which are reached as before.
test_orderly_stop() {
    configure "$(service up 20)" "$(service asleep 21)"
    start_jitsud && wait_held up asleep || return 1
    page 10.77.0.20 | grep -q '^boot 1$' || fail "no page" || return 1
    stop_jitsud
    nothing_is_held || fail "this is left on the bridge" || return 1
    forget_neighbours
    page 10.77.0.20 | grep -q '^boot 1$' || fail "the running VM is not reached" || return 1
    in_client curl -s -m 2 http://10.77.0.21/ && fail "something is at the address of the other one" && return 1
    start_jitsud && wait_held asleep || return 1
    page 10.77.0.21 | grep -q '^boot 1$' || fail "afterwards: no page" || return 1
    page 10.77.0.20 | grep -q '^boot 1$' || fail "it was rebooted"
}

run_tests "$@"
