#!/bin/bash
# kill -9 of any process of ours while clients are held: all of them are served.
hold=park
. "$(dirname "$0")/lib.sh"

# 0 to $1 thousandths of a second, as sleep understands it
some_ms() { printf '0.%03d' $((RANDOM % $1)); }

# A guest that takes its time, so that moments before, while and after it boots are hit.
slow_guest=$(guest arp_delay=150 listen_delay=50)

# Every process, at any moment of a wake by SYN; two clients each.
test_every_child() {
    configure "$(service www 20 machine.cmdline "$slow_guest")"
    start_jitsud && wait_held www || return 1
    local i process first took tap processes=(synproxy launcher local dns control)
    tap=$(ip -n "$host" -o link show | grep -o '^[0-9]*: jh[^:@]*')
    for i in $(rounds 10 100); do
        process=${processes[$((i % 5))]}
        wait_until 10 alive "$(process_pid "$process")"
        connect 10.77.0.20 > "$dir/took" &
        first=$!
        sleep "$(some_ms 500)"
        kill -9 "$(process_pid "$process")"
        sleep "$(some_ms 50)"
        took=$(connect 10.77.0.20 --interface 10.77.0.101) ||
            fail "round $i, $process: the later client was not served (curl: $?, $took s)" || return 1
        wait $first || fail "round $i, $process: the client was not served (curl: $?)" || return 1
        echo "# round $i: $process: $(cat "$dir/took") s, $took s"
        wait_until 10 is_state www up || fail "round $i, $process: it is $(state_of www)" || return 1
        wait_until 10 ctl stop www || fail "round $i, $process: it is not stopped" || return 1
        [ -z "$(our_vms)" ] || fail "round $i, $process: a VM is left" || return 1
    done
    # our tap and what waits in it outlive whoever uses it
    [ "$(ip -n "$host" -o link show | grep -o '^[0-9]*: jh[^:@]*')" = "$tap" ] ||
        fail "it was $tap, and is $(ip -n "$host" -o link show)" || return 1
    [ "$(ip -n "$host" -o link show | grep -c ': jt')" = 0 ] || fail "taps are left"
}

# What synproxy held when it was killed is held: the client's one SYN is enough.
test_killed_synproxy_loses_no_hold() {
    configure "$(service www 20 machine.cmdline "$(guest arp_delay=500)")"
    start_jitsud && wait_held www || return 1
    local i took
    for i in $(rounds 5 50); do
        connect 10.77.0.20 > "$dir/took" &
        sleep "$(some_ms 400)"
        kill -9 "$(process_pid synproxy)"
        wait $! || fail "round $i: not served" || return 1
        at_once "$(cat "$dir/took")" www || fail "round $i: connecting took $(cat "$dir/took") s" || return 1
        ctl stop www > /dev/null || return 1
    done
}

# All at once, and the supervisor with them: what is held goes with it, and the clients' next SYNs do.
test_jitsud_itself() {
    configure "$(service www 20 machine.cmdline "$(guest arp_delay=1000)")"
    start_jitsud && wait_held www || return 1
    local i asking
    for i in $(rounds 3 20); do
        connect 10.77.0.20 > "$dir/took" &
        asking=$!
        sleep "$(some_ms 900)"
        kill -9 "$jitsud_pid"
        wait "$jitsud_pid" 2>/dev/null
        sleep "$(some_ms 300)"
        start_jitsud || return 1
        wait $asking || fail "round $i: not served (curl: $?)" || return 1
        between 0 8 "$(cat "$dir/took")" || fail "round $i: connecting took $(cat "$dir/took") s" || return 1
        wait_state www up 10 || fail "round $i: it is $(state_of www)" || return 1
        ctl stop www > /dev/null || return 1
    done
    [ "$(ip -n "$host" -o link show | grep -c ': jh')" = 1 ] || fail "hold taps: $(ip -n "$host" -o link show)"
}

# While the supervisor is gone, its children hold and wake.
test_without_supervisor() {
    configure "$(service www 20)"
    start_jitsud && wait_held www || return 1
    kill -9 "$jitsud_pid"
    wait "$jitsud_pid" 2>/dev/null
    local took; took=$(connect 10.77.0.20) || fail "not served" || return 1
    at_once "$took" www || fail "connecting took $took s" || return 1
    start_jitsud && wait_state www up 10
}

# An upgrade: connections to a VM that was handed over do not notice.
test_connections_outlive_us() {
    configure "$(service www 20 ports '[22]' machine.cmdline "$(guest banner=1)")"
    start_jitsud && wait_held www || return 1
    session_begin 10.77.0.20 22
    [ "$(session_hear)" = 'name www ready' ] || fail "no greeting" || return 1
    stop_jitsud
    session_say one && [ "$(session_hear 5)" = one ] || fail "dead while we are stopped" || return 1
    start_jitsud && wait_state www up 10 || return 1
    session_say two && [ "$(session_hear 5)" = two ] || fail "dead after the restart" || return 1
    kill -9 "$(process_pid launcher)" "$(process_pid synproxy)"
    session_say three && [ "$(session_hear 5)" = three ] || fail "dead after the launcher was killed" || return 1
    wait_until 10 is_state www up || fail "it is $(state_of www)" || return 1
    sleep 1
    session_say four && [ "$(session_hear 5)" = four ] || fail "dead once all was found again" || return 1
    [ "$(field boots www)" = 1 ] || fail "it was rebooted"
}

run_tests "$@"
