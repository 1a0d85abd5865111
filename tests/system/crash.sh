#!/bin/bash
# kill -9 of every process of ours, while VMs run and wakes are under way: service goes on within a
# second, VMs live on and are known again, nothing leaks.
. "$(dirname "$0")/lib.sh"

within_a_second() { # within_a_second WHAT COMMAND...
    local what=$1 began ms
    shift
    began=$(now_ms)
    wait_until 5 "$@" || fail "$what: not within 5 s" || return 1
    ms=$(( $(now_ms) - began ))
    echo "# $what after $ms ms"
    [ "$ms" -le $((1000 * ${SLOWNESS:-1})) ] || fail "$what: only after $ms ms"
}

# A client like most: it asks again after 2 s, so that a query lost with its server is its own to repeat.
patient_summon() {
    local ip
    ip=$(ask "$1" A +tries=10 +time=2 | grep -v '^;') && page "$ip" # dig tells there of each try, too
}

quick_answer() { [ "$(in_client dig +short +tries=1 +time=1 @$host_ip www.jitsu.example A)" = 10.77.0.20 ]; }

fds_of() { ls "/proc/$(process_pid "$1")/fd" 2>/dev/null | wc -l; }

kill_and_look() { # kill_and_look PROCESS
    local process=$1 pid qemu text
    pid=$(process_pid "$process")
    qemu=$(qemu_of www)
    alive "$pid" && alive "$qemu" || fail "nothing to kill" || return 1
    # a wake of another service under way
    (patient_summon other > "$dir/other.$process") &
    local asking=$!
    sleep 0.02
    kill -9 "$pid"
    within_a_second "$process: answers" quick_answer || return 1
    wait_until 5 eval '[ "$(process_pid '"$process"')" != '"$pid"' ]' || fail "$process is not restarted" || return 1
    wait $asking
    grep -q '^name other' "$dir/other.$process" || fail "$process: the wake under way was lost" || return 1
    [ "$(qemu_of www)" = "$qemu" ] || fail "$process: the VM did not live on" || return 1
    text=$(page 10.77.0.20) || fail "$process: no page" || return 1
    grep -q '^boot 1$' <<< "$text" || fail "$process: it was rebooted" || return 1
    wait_state www up 10 || fail "$process: www is $(state_of www)" || return 1
    wait_state other up 10 || fail "$process: other is $(state_of other)" || return 1
    ctl stop other > /dev/null || fail "$process: stop failed" || return 1
    [ -z "$(qemu_of other)" ] || fail "$process: other is left"
}

test_every_child() {
    configure "$(service www 20)" "$(service other 21)"
    start_jitsud || return 1
    summon www > /dev/null || return 1
    local process fds
    for _ in $(rounds 1 10); do
        for process in dns synproxy control launcher local; do
            kill_and_look "$process" || return 1
        done
    done
    # nothing leaks: descriptors of the survivors do not grow with more deaths
    for process in dns launcher; do
        fds=$(fds_of $process)
        for _ in 1 2 3; do
            kill -9 "$(process_pid synproxy)" "$(process_pid control)"
            sleep 0.5
        done
        [ "$(fds_of $process)" -le $((fds + 1)) ] || fail "$process: $fds -> $(fds_of $process) descriptors" || return 1
    done
    fds=$(ls /proc/$jitsud_pid/fd | wc -l)
    kill -9 "$(process_pid dns)" "$(process_pid launcher)"
    sleep 1
    quick_answer || fail "not answered in the end" || return 1
    [ "$(ls /proc/$jitsud_pid/fd | wc -l)" -le $((fds + 1)) ] || fail "the supervisor leaks descriptors" || return 1
    [ "$(ip -n "$host" -o link show | grep -c ': jt')" = 1 ] || fail "taps are left"
}

# The backend dies at every moment of a start: the start is done again, and the client served.
test_backend_dies_while_starting() {
    configure "$(service www 20)"
    start_jitsud || return 1
    wait_until 60 grep -q 'connected: libvirt' "$dir/log"
    local delay asking began ms
    for delay in 0.005 0.015 0.02 0.025 0.03 0.035 0.04 0.05; do
        summon www > "$dir/page" &
        asking=$!
        sleep $delay
        kill -9 "$(process_pid local)"
        began=$(now_ms)
        wait $asking
        ms=$(( $(now_ms) - began ))
        grep -q '^name www' "$dir/page" || fail "killed after $delay s: not served" || return 1
        [ $ms -le $((5000 * ${SLOWNESS:-1})) ] || fail "killed after $delay s: served only after $ms ms" || return 1
        ctl stop www > /dev/null || return 1
        [ -z "$(our_vms)" ] || fail "killed after $delay s: a VM is left" || return 1
    done
    [ "$(ls "$dir/run/qemu/lib/qemu" | grep -c domain-)" = 0 ] || fail "directories are left" || return 1
}

# The supervisor itself: the others serve on; the next one takes over.
test_supervisor() {
    configure "$(service www 20)" "$(service other 21)"
    start_jitsud || return 1
    summon www > /dev/null || return 1
    local qemu old_dns
    qemu=$(qemu_of www)
    old_dns=$(process_pid dns)
    kill -9 "$jitsud_pid"
    wait "$jitsud_pid" 2>/dev/null
    within_a_second "supervisor: answers" quick_answer || return 1
    summon other | grep -q '^name other' || fail "nothing can be woken" || return 1
    start_jitsud || return 1
    alive "$old_dns" && fail "two generations run" && return 1
    within_a_second "takeover: answers" quick_answer || return 1
    [ "$(qemu_of www)" = "$qemu" ] || fail "the VM did not live on" || return 1
    page 10.77.0.20 | grep -q '^boot 1$' || fail "rebooted" || return 1
    wait_state www up 10 && wait_state other up 10 || fail "not known again: $(ctl list)" || return 1
    ctl stop www > /dev/null && ctl stop other > /dev/null || return 1
    [ -z "$(our_vms)" ] || fail "a VM is left" || return 1
    [ "$(ls "$dir/run/pids" | wc -l)" = 5 ] || fail "records: $(ls "$dir/run/pids")"
}

# An orderly stop and start, as an upgrade does: VMs and what is known of them live on.
test_restart() {
    configure "$(service www 20)"
    start_jitsud || return 1
    summon www > /dev/null || return 1
    local qemu; qemu=$(qemu_of www)
    stop_jitsud
    [ "$(qemu_of www)" = "$qemu" ] || fail "the stop took the VM along" || return 1
    page 10.77.0.20 | grep -q '^boot 1$' || fail "it does not serve without us" || return 1
    start_jitsud || return 1
    wait_state www up 10 || fail "it is $(state_of www)" || return 1
    quick_answer || fail "not answered" || return 1
    [ "$(field started_by www)" = jitsu ] || fail "started by $(field started_by www)"
}

test_second_jitsud_is_refused() {
    configure "$(service www 20)"
    start_jitsud || return 1
    in_host "$BUILD/jitsud" -c "$dir/jitsud.json" > "$dir/second" 2>&1 && fail "it started" && return 1
    grep -q 'already runs' "$dir/second" || fail "it says: $(cat "$dir/second")" || return 1
    quick_answer || summon www > /dev/null || fail "the first one suffered"
}

# A guest that boots while its launcher dies: found, and its client served.
test_launcher_dies_while_booting() {
    configure "$(service www 20 machine.cmdline '"ip={ip}/{prefix} name={name} boot={boot} arp_delay=1500"')"
    start_jitsud || return 1
    summon www > "$dir/page" &
    local asking=$!
    wait_until 10 is_state www booting || fail "it is $(state_of www)" || return 1
    kill -9 "$(process_pid launcher)"
    wait $asking
    grep -q '^boot 1$' "$dir/page" || fail "the client got: $(cat "$dir/page")" || return 1
    [ "$(our_vms | wc -l)" = 1 ] || fail "$(our_vms | wc -l) VMs"
}

run_tests "$@"
