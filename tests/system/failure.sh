#!/bin/bash
# What goes wrong is one VM's event: an answer in time, a reason to read, and a daemon that is fine.
. "$(dirname "$0")/lib.sh"

daemon_is_fine() {
    alive "$jitsud_pid" || fail "jitsud died" || return 1
    summon good | grep -q '^name good' || fail "another service does not work"
}

test_kernel_that_is_not_there() {
    configure "$(service www 20 machine.kernel "\"$dir/images/nothere.elf\"")" "$(service good 21)"
    start_jitsud || return 1
    [ "$(ask_status www)" = SERVFAIL ] || fail "not SERVFAIL" || return 1
    is_state www failed || fail "it is $(state_of www)" || return 1
    ctl show www | grep -q 'nothere.elf' || fail "no reason: $(ctl show www)" || return 1
    # the back-off refuses at once, with the reason
    local began=$SECONDS
    [ "$(ask_status www)" = SERVFAIL ] || fail "not SERVFAIL again" || return 1
    [ $((SECONDS - began)) -le 2 ] || fail "the second SERVFAIL took $((SECONDS - began)) s" || return 1
    # once the kernel is there, the next try works
    cp "$guests/www.elf" "$dir/images/nothere.elf"
    wait_until 10 eval '[ "$(ask www A)" = 10.77.0.20 ]' || fail "it does not recover" || return 1
    daemon_is_fine
}

test_kernel_that_never_boots() {
    head -c 65536 /dev/zero > "$dir/images/zeros"
    configure "$(service www 20 start_timeout '"3s"' machine.cmdline '"hang=1"')" \
        "$(service junk 22 start_timeout '"3s"' machine.kernel "\"$dir/images/zeros\"")" "$(service good 21)"
    start_jitsud || return 1
    local began=$SECONDS
    [ "$(ask_status www)" = SERVFAIL ] || fail "not SERVFAIL" || return 1
    [ $((SECONDS - began)) -le 8 ] || fail "it took $((SECONDS - began)) s" || return 1
    ctl --json show www | grep -q 'start_timeout): its address or port did not answer' || fail "no reason: $(ctl show www)" || return 1
    wait_until 10 eval '[ -z "$(qemu_of www)" ]' || fail "its VM is left" || return 1
    [ "$(ask_status junk)" = SERVFAIL ] || fail "junk: not SERVFAIL" || return 1
    ctl show junk | grep -qi 'elf\|kernel\|start_timeout' || fail "no reason: $(ctl show junk)" || return 1
    daemon_is_fine
}

# Its port goes while it boots: that is told, and not that the guest is silent.
test_port_that_goes() {
    configure "$(service www 20 start_timeout '"5s"' machine.cmdline '"hang=1"')"
    start_jitsud || return 1
    ask_status www > "$dir/status" & local asking=$!
    wait_until 20 eval '[ -n "$(our_vms)" ] && is_state www booting' || fail "it is $(state_of www)" || return 1
    ip -n "$host" link del "$(ip -n "$host" -o link show | sed -n 's/.*: \(jt[^:@]*\):.*/\1/p')" || fail "no tap" || return 1
    wait "$asking"
    [ "$(cat "$dir/status")" = SERVFAIL ] || fail "not SERVFAIL" || return 1
    ctl --json show www | grep -q 'start_timeout): its port on the bridge is gone' || fail "no reason: $(ctl show www)" || return 1
}

# It was not ready in time and ignores being asked to shut down, so it is left; once it is ready
# after all, it is served.
test_late_and_stubborn() {
    configure "$(service www 20 start_timeout '"2s"' stop '"shutdown"' stop_timeout '"2s"' \
        machine.cmdline '"ip={ip}/{prefix} name={name} listen_delay=5000"')" # microvm: no power button
    start_jitsud || return 1
    [ "$(ask_status www)" = SERVFAIL ] || fail "not SERVFAIL" || return 1
    is_state www failed || fail "it is $(state_of www)" || return 1
    wait_state www up 20 || fail "it is $(state_of www): $(ctl show www | grep error)" || return 1
    page 10.77.0.20 | grep -q '^name www' || fail "no page"
}

test_kernel_anybody_can_write() {
    cp "$guests/www.elf" "$dir/images/open.elf"
    chmod 666 "$dir/images/open.elf"
    configure "$(service www 20 machine.kernel "\"$dir/images/open.elf\"")" "$(service good 21)"
    start_jitsud || return 1
    [ "$(ask_status www)" = SERVFAIL ] || fail "not SERVFAIL" || return 1
    ctl show www | grep -q 'open.elf' || fail "no reason: $(ctl show www)" || return 1
    rm "$dir/images/open.elf"
    ln -s www.elf "$dir/images/open.elf"
    ctl start www && fail "a symbolic link was followed"
    daemon_is_fine
}

test_bridge_that_is_gone() {
    configure "$(service www 20)"
    start_jitsud || return 1
    ip -n "$host" link set c0 nomaster
    ip -n "$host" link del br0
    ctl start www > "$dir/out" 2>&1 && fail "it started" && return 1
    grep -q br0 "$dir/out" || fail "no reason: $(cat "$dir/out")" || return 1
    alive "$jitsud_pid" || fail "jitsud died"
}

test_guest_killed_from_outside() {
    configure "$(service www 20)"
    start_jitsud || return 1
    summon www | grep -q '^boot 1$' || fail "no page" || return 1
    kill -9 "$(qemu_of www)"
    wait_state www off 10 || fail "it is $(state_of www)" || return 1
    summon www | grep -q '^boot 2$' || fail "the next query does not wake it" || return 1
    # the guest dies by itself
    in_client curl -s --noproxy '*' -m 5 http://10.77.0.20/crash > /dev/null
    wait_state www off 10 || fail "crashed, it is $(state_of www)" || return 1
    summon www | grep -q '^boot 3$' || fail "it does not come back"
}

test_limits_queue_and_end_in_servfail() {
    limits='"max_running": 1, "max_starting": 1, "wakes_per_source": "10000/min"'
    configure "$(service one 20)" "$(service two 21 max_hold '"3s"')" "$(service three 22 max_hold '"30s"')"
    start_jitsud || return 1
    summon one | grep -q '^name one' || fail "no page" || return 1
    local began=$SECONDS
    [ "$(ask_status two)" = SERVFAIL ] || fail "two: not SERVFAIL" || return 1
    [ $((SECONDS - began)) -ge 2 ] && [ $((SECONDS - began)) -le 8 ] || fail "after $((SECONDS - began)) s" || return 1
    ctl show two | grep -q 'max_running' || fail "no reason: $(ctl show two)" || return 1
    ask three > "$dir/three" &
    local asking=$!
    sleep 1
    ctl stop one || fail "stop failed" || return 1
    wait $asking
    [ "$(cat "$dir/three")" = 10.77.0.22 ] || fail "the queued wake was not served: $(cat "$dir/three")"
}

test_wakes_per_source() {
    limits='"max_starting": 4, "wakes_per_source": "2/min"'
    configure "$(service a 20)" "$(service b 21)" "$(service c 22)"
    start_jitsud || return 1
    ask a A +tcp > /dev/null && ask b A +tcp > /dev/null || return 1
    [ "$(ask_status c +tcp)" = SERVFAIL ] || fail "the third wake passed" || return 1
    [ "$(ask a A +tcp)" = 10.77.0.20 ] || fail "an answer for a running service was refused too"
}

run_tests "$@"
