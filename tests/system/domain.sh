#!/bin/bash
# Domains that exist already, on a libvirtd started by hand: woken, never redefined, and one that
# somebody else started is never stopped.
. "$(dirname "$0")/lib.sh"

runs() { [ "$(vsh domstate "$1" | head -1)" = running ]; }

test_wake_and_stop() {
    start_libvirtd && define_domain vm1 30 || return 1
    vsh dumpxml --inactive vm1 > "$dir/before"
    configure "$(domain_service vm1 30 idle_timeout '"2s"')"
    start_jitsud || return 1
    [ "$(field stop vm1)" = shutdown ] || fail "its stop is $(field stop vm1)" || return 1
    summon vm1 | grep -q '^name vm1' || fail "no page" || return 1
    runs vm1 || fail "virsh says $(vsh domstate vm1)" || return 1
    wait_state vm1 off 30 || fail "it is $(state_of vm1): $(ctl why vm1)" || return 1
    runs vm1 && fail "it still runs" && return 1
    vsh dumpxml --inactive vm1 > "$dir/after"
    cmp -s "$dir/before" "$dir/after" || fail "it was redefined" || return 1
    summon vm1 | grep -q '^name vm1' || fail "it does not wake again"
}

test_started_by_hand_is_never_stopped() {
    start_libvirtd && define_domain vm1 30 && define_domain vm2 31 || return 1
    vsh start vm1 > /dev/null
    configure "$(domain_service vm1 30 idle_timeout '"1s"')" "$(domain_service vm2 31 idle_timeout '"1s"')"
    start_jitsud || return 1
    wait_state vm1 adopted 10 || fail "vm1 is $(state_of vm1)" || return 1
    summon vm1 | grep -q '^name vm1' || fail "it is not served" || return 1
    vsh start vm2 > /dev/null
    wait_state vm2 adopted 10 || fail "vm2, started while we run, is $(state_of vm2)" || return 1
    sleep 5
    runs vm1 && runs vm2 || fail "it was stopped" || return 1
    ctl stop vm1 > "$dir/out" 2>&1 && fail "jitsuctl stop stops it" && return 1
    grep -q 'someone else' "$dir/out" || fail "no reason: $(cat "$dir/out")" || return 1
    # it stays theirs after a restart of ours, and becomes ours when it is started by us
    kill -9 "$(process_pid launcher)"
    wait_until 10 is_state vm1 adopted || fail "after a restart it is $(state_of vm1)" || return 1
    vsh destroy vm1 > /dev/null
    wait_state vm1 off 10 || fail "destroyed by hand, it is $(state_of vm1)" || return 1
    summon vm1 | grep -q '^name vm1' || fail "it is not woken" || return 1
    [ "$(field started_by vm1)" = jitsu ] || fail "started by $(field started_by vm1)"
}

test_ours_is_known_again() {
    start_libvirtd && define_domain vm1 30 || return 1
    configure "$(domain_service vm1 30)"
    start_jitsud || return 1
    summon vm1 > /dev/null || return 1
    kill -9 "$(process_pid launcher)"
    wait_until 10 is_state vm1 up || fail "it is $(state_of vm1)" || return 1
    [ "$(field started_by vm1)" = jitsu ] || fail "started by $(field started_by vm1)"
}

test_libvirtd_restarts() {
    start_libvirtd && define_domain vm1 30 || return 1
    configure "$(domain_service vm1 30)"
    start_jitsud || return 1
    summon vm1 > /dev/null || return 1
    end_pid "$(cat "$dir/libvirt/pid")"
    wait_until 10 eval 'ctl status | grep -q "not connected"' || fail "the loss is not noticed" || return 1
    ask vm1 | grep -q 10.77.0.30 || fail "a running service is not answered meanwhile"
}

test_domain_that_is_not_there() {
    start_libvirtd || return 1
    configure "$(domain_service nothere 30)"
    start_jitsud || return 1
    [ "$(ask_status nothere)" = SERVFAIL ] || fail "not SERVFAIL" || return 1
    ctl show nothere | grep -q nothere || fail "no reason"
}

run_tests "$@"
