#!/bin/bash
# A client that connects to a service whose VM is away gets connected when it is up: nothing is refused,
# nothing is lost, and nobody waits for a second SYN.
hold=park
. "$(dirname "$0")/lib.sh"

test_wake_by_syn_alone() {
    configure "$(service www 20 hold '')" # held is what a service is by default
    start_jitsud && wait_held www || return 1
    is_state www off || fail "it is $(state_of www) before anybody came" || return 1
    local took; took=$(connect 10.77.0.20) || fail "no page" || return 1
    at_once "$took" www || fail "connecting took $took s" || return 1
    grep -q '^boot 1$' "$dir/connected" || fail "another page: $(cat "$dir/connected")" || return 1
    ctl why www | grep -q syn || fail "why: $(ctl why www)" || return 1
    ctl stop www > /dev/null && is_state www off || fail "it is $(state_of www)" || return 1
    page 10.77.0.20 | grep -q '^boot 2$' || fail "it does not wake again"
}

# Another architecture's guest: nobody but its hypervisor needs to know.
test_aarch64_guest() {
    needs_aarch64
    configure "$(service arm 40 machine.kernel "\"$dir/images/www-arm64.img\"" machine.arch '"aarch64"')"
    start_jitsud && wait_held arm || return 1
    local took; took=$(connect 10.77.0.40) || fail "no page" || return 1
    at_once "$took" arm || fail "connecting took $took s" || return 1
    grep -q '^boot 1$' "$dir/connected" || fail "another page: $(cat "$dir/connected")" || return 1
    ctl why arm | grep -q syn || fail "why: $(ctl why arm)" || return 1
    ctl stop arm > /dev/null && is_state arm off || fail "it is $(state_of arm)" || return 1
    summon arm | grep -q '^boot 2$' || fail "a query does not wake it again" || return 1
    ctl why arm | grep -q dns || fail "why: $(ctl why arm)"
}

# A query is answered at once, and has the VM on its way before the client connects.
test_query_answers_at_once_and_wakes() {
    configure "$(service www 20 machine.cmdline "$(guest arp_delay=700)")"
    start_jitsud && wait_held www || return 1
    local began ms
    began=$(now_ms)
    [ "$(ask www)" = 10.77.0.20 ] || fail "no answer" || return 1
    ms=$(( $(now_ms) - began ))
    is_state www up && fail "the answer waited for the VM ($ms ms)" && return 1
    page 10.77.0.20 | grep -q '^boot 1$' || fail "no page" || return 1
    ctl why www | grep -q dns || fail "why: $(ctl why www)"
}

# Nothing of ours costs a client a SYN: a lost one shows as a second, and as a second SYN on the wire.
test_no_client_waits() {
    configure "$(service www 20)"
    start_jitsud && wait_held www || return 1
    capture_begin "$client" eth0 || return 1
    local i took n=0 slow=0 syns
    for i in $(rounds 20 200); do
        forget_neighbours
        [ $((i % 2)) = 0 ] || ask www > /dev/null || fail "round $i: no answer" || return 1
        took=$(connect 10.77.0.20) || fail "round $i: no page" || return 1
        at_once "$took" www || fail "round $i: connecting took $took s" || return 1
        n=$((n + 1))
        # a VM that boots for longer than a second sees its client's second SYN, and its third after three
        between 900 2900 "$(field last_wake_ms www)" && slow=$((slow + 1))
        ctl stop www > /dev/null || return 1
    done
    capture_end
    syns=$(seen 'out .* tcp .* 10.77.0.20:80 S ')
    { [ "$syns" -ge $n ] && [ "$syns" -le $((n + slow)) ]; } ||
        fail "$syns SYNs for $n connections, of which $slow waited for a slow boot" || return 1
    [ "$(seen 'in .* tcp 10.77.0.20:80 .* [SAF]*R ')" = 0 ] || fail "a client got RST"
}

# 200 clients, all within one boot.
test_many_clients_and_ports() {
    configure "$(service www 20 ports '[80, 81, 82, 83, 84]' \
        machine.cmdline "$(guest port=80,81,82,83,84 arp_delay=500)")"
    start_jitsud && wait_held www || return 1
    in_client "$packets" clients "$patience" 200 "$(addresses 10.77.0. 100 149)" 10.77.0.20:{80..84} \
        > "$dir/clients" ||
        fail "not all were served: $(grep -v 'boot 1$' "$dir/clients" | head -5)" || return 1
    [ "$(grep -c 'boot 1$' "$dir/clients")" = 200 ] || fail "more than one boot" || return 1
    [ "$(our_vms | wc -l)" = 1 ] && [ "$(field boots www)" = 1 ] || fail "more than one VM"
}

# An entry from before: the right one, and one of a machine that had the address once.
test_stale_neighbours() {
    ip -n "$client" neigh replace 10.77.0.20 dev eth0 lladdr 02:00:00:00:00:99 nud stale
    configure "$(service www 20)"
    start_jitsud && wait_held www || return 1
    # (claiming it was announced, so that nobody goes on with the old one)
    wait_until 3 eval 'ip -n "$client" neigh show 10.77.0.20 | grep -q "lladdr $(mac_of www)"' ||
        fail "the client still has $(ip -n "$client" neigh show 10.77.0.20)" || return 1
    local took; took=$(connect 10.77.0.20) || fail "no page" || return 1
    at_once "$took" www || fail "connecting took $took s" || return 1
    ctl stop www > /dev/null || return 1
    ip -n "$client" neigh replace 10.77.0.20 dev eth0 lladdr "$(mac_of www)" nud stale
    took=$(connect 10.77.0.20) && at_once "$took" www || fail "with its MAC known, connecting took $took s"
}

# What the bridge sees of the VM's MAC before IPv4 is up must not lead clients to it.
test_ipv6_speaks_first() {
    configure "$(service www 20 machine.cmdline "$(guest mld=1 arp_delay=300)")"
    start_jitsud && wait_held www || return 1
    capture_begin "$client" eth0 || return 1
    local i took
    for i in $(rounds 3 30); do
        forget_neighbours
        (sleep 0.$((RANDOM % 5)); connect 10.77.0.20 --interface 10.77.0.101) > "$dir/second" &
        took=$(connect 10.77.0.20) && at_once "$took" www || fail "round $i: connecting took $took s" || return 1
        wait $!
        took=$(cat "$dir/second")
        at_once "$took" www || fail "round $i: the second client took $took s" || return 1
        ctl stop www > /dev/null || return 1
    done
    capture_end
    [ "$(seen 'in .* type 86dd')" -ge "$i" ] || fail "the guest sent no IPv6"
}

# The other side speaks first: its greeting comes to the client that was held.
test_server_speaks_first() {
    configure "$(service www 20 ports '[22]' machine.cmdline "$(guest banner=1)")"
    start_jitsud && wait_held www || return 1
    session_begin 10.77.0.20 22
    [ "$(session_hear)" = 'name www ready' ] || fail "no greeting" || return 1
    session_say hello && [ "$(session_hear)" = hello ] || fail "no echo"
}

# A connection lives on in a VM that was paused: its next segment wakes the VM.
test_suspended_connection_goes_on() {
    configure "$(service www 20 stop '"suspend"' ports '[22]' \
        machine.cmdline "$(guest banner=1)")"
    start_jitsud && wait_held www || return 1
    local i
    session_begin 10.77.0.20 22
    [ "$(session_hear)" = 'name www ready' ] || fail "no greeting" || return 1
    for i in $(rounds 3 20); do
        sleep 0.1 # the client's delayed acknowledgement of the last line would wake it
        ctl stop www > /dev/null && is_state www suspended || fail "it is $(state_of www)" || return 1
        session_say "line $i" && [ "$(session_hear)" = "line $i" ] ||
            fail "round $i: the connection is dead" || return 1
        is_state www up || fail "it is $(state_of www)" || return 1
    done
    [ "$(field boots www)" = 1 ] || fail "it was rebooted"
}

# A connection died with its VM: its client is told at once, and wakes nothing by that.
test_dead_connection_is_reset() {
    configure "$(service www 20 ports '[22]' machine.cmdline "$(guest banner=1)")"
    start_jitsud && wait_held www || return 1
    session_begin 10.77.0.20 22
    [ "$(session_hear)" = 'name www ready' ] || fail "no greeting" || return 1
    ctl stop www > /dev/null || return 1
    local began; began=$(now_ms)
    session_say hello
    [ "$(session_hear)" = RESET ] || fail "it was not reset" || return 1
    [ $(( $(now_ms) - began )) -lt 500 ] || fail "that took $(( $(now_ms) - began )) ms" || return 1
    sleep 0.3
    is_state www off || fail "a dead connection woke it: $(state_of www)"
}

# Clients that come just when it is being stopped for being idle: none is refused, all are served.
test_clients_around_idle_stops() {
    configure "$(service www 20 idle_timeout '"100ms"' dns_grace '"100ms"')"
    start_jitsud && wait_held www || return 1
    local i took
    for i in $(rounds 50 300); do
        took=$(connect 10.77.0.20) || fail "round $i: no page (curl: $?)" || return 1
        at_once "$took" www || fail "round $i: connecting took $took s" || return 1
        grep -q '^name www$' "$dir/connected" || fail "round $i: another page" || return 1
        # its end begins some 150 ms from now, and takes 200 ms
        sleep "$(printf '0.%03d' $((RANDOM % 400 + 100)))"
    done
    [ "$(field boots www)" -gt 10 ] || fail "it was stopped only $(field boots www) times"
}

# An operator's stop is an order, and who comes meanwhile wakes it again.
test_clients_around_ordered_stops() {
    configure "$(service www 20)"
    start_jitsud && wait_held www || return 1
    local i
    for i in $(rounds 15 200); do
        page 10.77.0.20 | grep -q '^name www' || fail "round $i: no page" || return 1
        ctl stop www > /dev/null 2>&1 &
        sleep 0.0$((RANDOM % 4))
        # what reached the old VM may die with it; what came after must not
        page 10.77.0.20 > /dev/null
        wait $!
    done
    page 10.77.0.20 | grep -q '^name www' || fail "no page in the end"
}

test_datagrams_in_order() {
    configure "$(service www 20 machine.cmdline "$(guest udp=7000)")" \
        "$(service none 21 hold_udp 0 machine.cmdline "$(guest udp=7000)")"
    start_jitsud && wait_held www || return 1
    # six are sent: four of a flow are held, the first ones
    datagrams 10.77.0.20 7000 one two three four five six > "$dir/echoes"
    [ "$(paste -sd' ' "$dir/echoes")" = 'one two three four' ] ||
        fail "back came: $(paste -sd' ' "$dir/echoes")" || return 1
    ctl why www | grep -q udp || fail "why: $(ctl why www)" || return 1
    # once it is up nothing of ours is between
    datagrams 10.77.0.20 7000 a b c d e f > "$dir/echoes"
    [ "$(paste -sd' ' "$dir/echoes")" = 'a b c d e f' ] || fail "back came: $(paste -sd' ' "$dir/echoes")" || return 1
    datagrams 10.77.0.21 7000 one > "$dir/echoes"
    is_state none off || fail "hold_udp 0, and it is $(state_of none)"
}

# What is held while it boots can be looked at, and the way of a wake afterwards.
test_flows_and_waterfall() {
    configure "$(service www 20 machine.cmdline "$(guest arp_delay=2500)")" \
        "$(service other 21)"
    start_jitsud && wait_held www || return 1
    [ "$(flows_of)" = 0 ] || fail "flows before: $(ctl --json flows)" || return 1
    connect 10.77.0.20 > "$dir/took" &
    local asking=$!
    connect 10.77.0.20 --interface 10.77.0.101 > "$dir/took2" &
    asking+=" $!"
    wait_until 2 eval '[ "$(flows_of www)" = 2 ]' || fail "flows: $(ctl flows www)" || return 1
    ctl flows www | grep -q '10.77.0.101' || fail "flows: $(ctl flows www)" || return 1
    [ "$(flows_of other)" = 0 ] || fail "flows of another: $(ctl flows other)" || return 1
    wait $asking
    [ "$(flows_of www)" = 0 ] || fail "flows afterwards: $(ctl flows www)" || return 1
    wait_until 3 eval 'ctl --json trace www | grep -q t_first_byte_us'
    marks_in_order www syn start link port moved released first_byte
}

run_tests "$@"
