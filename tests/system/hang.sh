#!/bin/bash
# A hypervisor's process that hangs is its own services' trouble: everybody else is served as ever, it is told,
# and another one takes its place.
hold=park
. "$(dirname "$0")/lib.sh"

two_hypervisors() {
    local name
    hypervisors=
    for name in good bad; do
        hypervisors+="${hypervisors:+, }{\"name\": \"$name\", \"uri\": \"qemu:///embed?root=$dir/run/$name\", \"isolation\": \"strict\"}"
    done
}

# Everybody but those of the hypervisor named: commands and the other one's clients, each within a second.
others_are_served() {
    local began took command
    for command in status list "show bad" "show good" "stop good"; do
        began=$(now_ms)
        # shellcheck disable=SC2086
        ctl $command > "$dir/said" || fail "jitsuctl $command: $(cat "$dir/said")" || return 1
        took=$(($(now_ms) - began))
        [ "$took" -lt $((1000 * ${SLOWNESS:-2})) ] || fail "jitsuctl $command took $took ms" || return 1
    done
    began=$(now_ms)
    [ "$(ask good) $(ask bad)" = "10.77.0.20 10.77.0.21" ] || fail "answers: $(ask good) $(ask bad)" || return 1
    took=$(($(now_ms) - began))
    [ "$took" -lt $((1000 * ${SLOWNESS:-2})) ] || fail "two answers took $took ms" || return 1
    forget_neighbours
    took=$(connect 10.77.0.20) || fail "no page of good" || return 1
    at_once "$took" good || fail "connecting to good took $took s" || return 1
}

is_silent() { ctl status | grep -q 'bad: its process has not answered'; }

test_a_process_that_hangs() {
    two_hypervisors
    limits='"max_starting": 1, "wakes_per_source": "10000/min"' # whoever hangs must not be who starts
    configure "$(service good 20 machine.hypervisor '"good"')" \
        "$(service bad 21 machine.hypervisor '"bad"' start_timeout '"8s"' max_hold '"120s"')"
    start_jitsud && wait_held good bad && wait_until "$patience" eval '[ "$(ctl status | grep -c ": connected, libvirt")" = 2 ]' ||
        fail "not both connected: $(ctl status)" || return 1
    page 10.77.0.20 | grep -q '^boot 1$' || fail "no page of good" || return 1
    ctl watch --json > "$dir/events" & local watching=$!
    local pid began ms
    pid=$(process_pid bad)
    kill -STOP "$pid"
    began=$(now_ms)
    page 10.77.0.21 120 > "$dir/held" & local asking=$! # its start takes the only place there is
    wait_until 10 is_silent || fail "nobody noticed: $(ctl status)" || return 1
    others_are_served || return 1
    wait_until 60 eval '[ "$(process_pid bad)" != '"$pid"' ]' || fail "it is not replaced" || return 1
    ms=$(($(now_ms) - began))
    echo "# replaced after $ms ms"
    [ "$ms" -ge 7000 ] || fail "replaced after $ms ms already" || return 1
    alive "$pid" && fail "the process that hung lives on" && return 1
    # who was held is served in the end, and without asking again
    wait "$asking"
    grep -q '^boot' "$dir/held" || fail "the client of bad was let down: $(ctl why bad; ctl show bad)" || return 1
    wait_state bad up 10 || fail "bad is $(state_of bad)" || return 1
    kill "$watching"
    wait "$watching" 2> /dev/null
    grep -q '"event":"hypervisor".*does not answer' "$dir/events" || fail "no event: $(cat "$dir/events")" || return 1
    grep -q '"event":"hypervisor".*is replaced' "$dir/events" || fail "no event of the end: $(cat "$dir/events")" || return 1
    grep -q 'has not answered for .* ms: replacing it' "$dir/log" || fail "it is not in the log"
}

# One that was only slow goes on with what it was asked for; its VM is not started twice.
test_a_process_that_was_slow() {
    two_hypervisors
    configure "$(service good 20 machine.hypervisor '"good"')" "$(service bad 21 machine.hypervisor '"bad"' start_timeout '"60s"')"
    start_jitsud && wait_held good bad && wait_until "$patience" eval '[ "$(ctl status | grep -c ": connected, libvirt")" = 2 ]' ||
        fail "not both connected: $(ctl status)" || return 1
    local pid
    pid=$(process_pid bad)
    kill -STOP "$pid"
    page 10.77.0.21 60 > "$dir/held" & local asking=$!
    wait_until 10 is_silent || fail "nobody noticed: $(ctl status)" || return 1
    in_host "$BUILD/jitsuctl" -S "$dir/run/control.sock" --json doctor "$dir/jitsud.json" > "$dir/doctor"
    grep '"check":"hypervisors","grade":"bad"' "$dir/doctor" | grep -q 'hypervisor bad: its process has not answered' &&
        grep '"check":"hypervisors","grade":"good"' "$dir/doctor" | grep -q 'hypervisor good: connected' ||
        fail "the doctor says: $(grep hypervisor "$dir/doctor")" || return 1
    others_are_served || return 1
    kill -CONT "$pid"
    wait "$asking"
    grep -q '^boot 1$' "$dir/held" || fail "not its first boot: $(cat "$dir/held")" || return 1
    [ "$(process_pid bad)" = "$pid" ] || fail "it was replaced" || return 1
    [ "$(field boots bad)" = 1 ] && is_silent && fail "it is silent still" && return 1
    return 0
}

run_tests "$@"
