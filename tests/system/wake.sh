#!/bin/bash
# Who may wake a VM, and by what: SYNs, datagrams, pings, Wake-on-LAN, names; and who may not.
hold=park
. "$(dirname "$0")/lib.sh"

# knock IP [CURL-OPTION...]: one connection that is not waited for
knock() { in_client curl -s --noproxy '*' -o /dev/null -m "${limit:-2}" "${@:2}" "http://$1/"; }

test_after_dns() {
    configure "$(service www 20 wake_syn '"after-dns"' dns_horizon '"3s"' idle_timeout '"300ms"' dns_grace '"300ms"')"
    start_jitsud && wait_held www || return 1
    knock 10.77.0.20
    is_state www off || fail "nobody asked for its name, and it is $(state_of www)" || return 1
    ask www > /dev/null
    local took; took=$(connect 10.77.0.20) || fail "after the answer: no page" || return 1
    at_once "$took" www || fail "after the answer: connecting took $took s" || return 1
    # stopped for being idle, with the answer still good: it is woken
    ask www > /dev/null
    wait_state www off 10 || fail "it is $(state_of www)" || return 1
    page 10.77.0.20 | grep -q '^name www' || fail "the answer was forgotten" || return 1
    # and not any more once the answer is too old
    wait_state www off 10 || fail "it is $(state_of www)" || return 1
    sleep 3.2
    knock 10.77.0.20
    is_state www off || fail "an old answer counts: it is $(state_of www)"
}

test_syns_wake_nothing() {
    configure "$(service www 20 wake_syn '"off"' machine.cmdline "$(guest arp_delay=700)")"
    start_jitsud && wait_held www || return 1
    knock 10.77.0.20
    datagrams 10.77.0.20 7000 hello > /dev/null
    is_state www off || fail "it is $(state_of www)" || return 1
    # what is on its way is waited for all the same
    ctl start www > /dev/null &
    sleep 0.3
    local took; took=$(connect 10.77.0.20) || fail "no page" || return 1
    at_once "$took" www || fail "connecting took $took s"
}

test_allow_and_deny() {
    configure "$(service allow 20 wake_allow '["10.77.0.96/28"]' wake_deny '["10.77.0.101"]')"
    start_jitsud && wait_held allow || return 1
    knock 10.77.0.20
    is_state allow off || fail "from elsewhere: it is $(state_of allow)" || return 1
    knock 10.77.0.20 --interface 10.77.0.101
    is_state allow off || fail "denied: it is $(state_of allow)" || return 1
    [ "$(flows_of allow)" = 0 ] || fail "what may not wake it is held" || return 1
    in_client ping -c 1 -W 1 10.77.0.20 > /dev/null
    limit=$patience knock 10.77.0.20 --interface 10.77.0.100 || fail "allowed: not served" || return 1
    # once it is up, this is not our business
    knock 10.77.0.20 || fail "it is up, and a client is refused"
}

test_pings() {
    configure "$(service ignores 20)" "$(service answers 21 wake_ping '"answer"')" \
        "$(service wakes 22 wake_ping '"wake"')"
    start_jitsud && wait_held ignores answers wakes || return 1
    in_client ping -n -q -c 2 -i 0.2 -W 1 10.77.0.20 > /dev/null && fail "ignore: answered" && return 1
    in_client ping -n -q -c 3 -i 0.2 -W 1 10.77.0.21 > /dev/null || fail "answer: not answered" || return 1
    in_client ping -n -q -c 1 -s 1400 -W 1 10.77.0.21 > /dev/null || fail "answer: not the long one" || return 1
    is_state ignores off && is_state answers off ||
        fail "they are $(state_of ignores), $(state_of answers)" || return 1
    in_client ping -n -q -c 10 -i 0.2 -W 1 10.77.0.22 > /dev/null || fail "wake: never answered" || return 1
    wait_state wakes up 10 || fail "wake: it is $(state_of wakes)" || return 1
    ctl why wakes | grep -q ping || fail "why: $(ctl why wakes)"
}

test_wake_on_lan() {
    configure "$(service www 20)" "$(service other 21)"
    start_jitsud && wait_held www other || return 1
    local way
    in_client "$packets" wol eth0 udp 8 "$(mac_of www)"
    in_client "$packets" wol eth0 ether 02:00:00:00:00:77
    sleep 0.5
    is_state www off || fail "another port or MAC: it is $(state_of www)" || return 1
    for way in 'udp 7' 'udp 9' ether; do
        # shellcheck disable=SC2086 # two words
        in_client "$packets" wol eth0 $way "$(mac_of www)"
        wait_state www up 10 || fail "$way: it is $(state_of www)" || return 1
        ctl why www | grep -qi wol || fail "$way: why: $(ctl why www)" || return 1
        ctl stop www > /dev/null || return 1
    done
    is_state other off || fail "the other one is $(state_of other)"
}

# A magic packet is meant: wake_syn does not rule it.
test_wake_on_lan_with_syns_off() {
    configure "$(service www 20 wake_syn '"off"')"
    start_jitsud && wait_held www || return 1
    in_client "$packets" wol eth0 ether "$(mac_of www)"
    wait_state www up 10 || fail "it is $(state_of www)"
}

# Woken by a name, and then nobody comes: it does not stay up for long, and whoever comes later is held.
test_dns_grace() {
    configure "$(service www 20 dns_grace '"1s"' idle_timeout '"300s"' dns_horizon '"300s"')"
    start_jitsud && wait_held www || return 1
    ask www > /dev/null
    wait_state www up 10 && wait_state www off 10 || fail "it is $(state_of www): $(ctl why www)" || return 1
    page 10.77.0.20 | grep -q '^boot 2$' || fail "who came late was not served" || return 1
    sleep 3
    is_state www up || fail "a client came, and it is $(state_of www): $(ctl why www)"
}

# ARP alone wakes nothing, nor does a stray, nor an RST.
test_what_wakes_nothing() {
    configure "$(service www 20)"
    start_jitsud && wait_held www || return 1
    for i in 1 2 3 4 5; do in_client "$packets" arp eth0 ask 02:00:00:00:00:55 10.77.0.2 10.77.0.20; done
    in_client "$packets" arp eth0 ask 02:00:00:00:00:55 0.0.0.0 10.77.0.20
    sleep 0.5
    is_state www off || fail "it is $(state_of www)"
}

# The old way still is one: nothing is at the address while it is off, and its name wakes it.
test_not_held() {
    configure "$(service www 20 hold '"off"')" "$(service other 21)"
    start_jitsud && wait_held other || return 1
    in_client "$packets" arp eth0 ask 02:00:00:00:00:55 10.77.0.2 10.77.0.20
    knock 10.77.0.20
    ip -n "$client" neigh show 10.77.0.20 | grep -q lladdr && fail "somebody answers ARP" && return 1
    is_state www off || fail "it is $(state_of www)" || return 1
    summon www | grep -q '^name www' || fail "no page"
}

run_tests "$@"
