#!/bin/bash
# Nobody uses it: it goes.  Somebody does: it stays.
. "$(dirname "$0")/lib.sh"

test_idle_stop_and_next_wake() {
    configure "$(service www 20 idle_timeout '"2s"' dns_horizon '"2s"')"
    start_jitsud || return 1
    summon www | grep -q '^boot 1$' || fail "no page" || return 1
    wait_state www off 20 || fail "it is $(state_of www): $(ctl why www)" || return 1
    [ -z "$(our_vms)" ] || fail "its QEMU is left" || return 1
    [ -z "$(ip -n "$host" -o link show | grep ': jt')" ] || fail "its tap is left" || return 1
    ctl why www | grep -q idle || fail "why: $(ctl why www)" || return 1
    summon www | grep -q '^boot 2$' || fail "it does not wake again"
}

# A slow download goes on past the DNS horizon and idle_timeout, and is not cut off.
test_slow_download_keeps_it_up() {
    configure "$(service www 20 idle_timeout '"2s"' dns_horizon '"2s"')"
    start_jitsud || return 1
    local ip got; ip=$(ask www) || return 1
    got=$(in_client curl -s --noproxy '*' -m 30 "http://$ip/slow?bytes=10000&rate=1000" | wc -c)
    [ "$got" = 10000 ] || fail "$got of 10000 bytes" || return 1
    is_state www up || is_state www draining || fail "it is $(state_of www)" || return 1
    [ "$(field boots www)" = 1 ] || fail "it was restarted" || return 1
    wait_state www off 20 || fail "afterwards it stays $(state_of www)"
}

# ARP and pings of a monitor's kind: ARP alone keeps nothing up.
test_arp_keeps_nothing_up() {
    configure "$(service www 20 idle_timeout '"2s"' dns_horizon '"2s"')"
    start_jitsud || return 1
    summon www > /dev/null || return 1
    local i
    for i in $(seq 60); do
        ip -n "$client" neigh flush dev eth0
        ip -n "$client" neigh add 10.77.0.20 dev eth0 nud incomplete 2>/dev/null
        ip -n "$client" neigh del 10.77.0.20 dev eth0 2>/dev/null
        command -v arping > /dev/null && in_client arping -q -c1 -w1 -I eth0 10.77.0.20
        is_state www off && return 0
        sleep 0.25
    done
    fail "it is $(state_of www)"
}

# Whoever was given the address may come: the DNS horizon keeps it up.
test_dns_horizon_keeps_it_up() {
    configure "$(service www 20 idle_timeout '"1s"' dns_horizon '"6s"')"
    start_jitsud || return 1
    ask www > /dev/null || return 1
    sleep 4
    is_state www up || fail "it is $(state_of www) inside the horizon" || return 1
    ctl why www | grep -qi dns || fail "why: $(ctl why www)" || return 1
    ask www > /dev/null # asked again: the horizon begins anew
    sleep 4
    is_state www up || fail "an answer from the table did not count" || return 1
    wait_state www off 20 || fail "it is $(state_of www) afterwards"
}

# A guest that takes its time to go, and a query while it does.
test_wake_during_stopping() {
    configure "$(service www 20 machine.machine '"pc"' machine.memory '"32MiB"' stop '"shutdown"' \
        machine.cmdline '"ip={ip}/{prefix} name={name} boot={boot} shutdown_delay=1500"')"
    start_jitsud || return 1
    summon www | grep -q '^boot 1$' || fail "no page" || return 1
    ctl stop www > /dev/null 2>&1 &
    local stopping=$!
    wait_state www stopping 5 || fail "it is $(state_of www)" || return 1
    local text; text=$(summon www)
    wait $stopping
    grep -q '^boot 2$' <<< "$text" || fail "the wake was lost: $text"
}

# Destroy under a stream of queries: every one of them is answered, and then served.
test_wakes_around_every_stop() {
    configure "$(service www 20)"
    start_jitsud || return 1
    local i ip
    for i in $(rounds 10 200); do
        ctl stop www > /dev/null 2>&1 &
        ip=$(ask www) && [ -n "$ip" ] || fail "round $i: not answered" || return 1
        wait $!
        # the stop may have come after the answer; what was answered after it must be served
        ip=$(ask www) && page "$ip" | grep -q '^name www' || fail "round $i: not served" || return 1
    done
}

test_vm_without_bpf() {
    configure "$(service www 20 idle_timeout '"2s"' dns_horizon '"2s"')"
    JITSU_NO_BPF=1 start_jitsud || return 1
    ctl status | grep -q 'packet socket' || fail "it counts with $(ctl status | grep traffic)" || return 1
    local ip got; ip=$(ask www) || return 1
    got=$(in_client curl -s --noproxy '*' -m 30 "http://$ip/slow?bytes=5000&rate=1000" | wc -c)
    [ "$got" = 5000 ] || fail "$got of 5000 bytes" || return 1
    wait_state www off 20 || fail "it is $(state_of www)"
}

run_tests "$@"
