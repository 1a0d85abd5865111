#!/bin/bash
# jitsuctl doctor on a real host: a bridge, and somebody on port 53.
. "$(dirname "$0")/lib.sh"

# with the interfaces of the host's namespace
doctor() { in_host unshare --mount --propagation private bash -c 'mount -t sysfs none /sys && exec "$@"' bash "$BUILD/jitsuctl" "$@"; }

test_what_jitsud_needs_is_there() {
    configure "$(service www 20)"
    doctor doctor "$dir/jitsud.json" > "$dir/out"
    grep -q '^good *configuration' "$dir/out" && grep -q '^good *bridges *br0 is there' "$dir/out" &&
        grep -q '^good *port' "$dir/out" && grep -q "^good *images *$dir" "$dir/out" || fail "$(cat "$dir/out")" || return 1
    ip -n "$host" link set br0 down
    ip -n "$host" link set br0 type bridge stp_state 1
    doctor doctor "$dir/jitsud.json" > "$dir/out" && fail "a bridge that is down is fine" && return 1
    grep -q '^bad *bridges *br0 is down' "$dir/out" && grep -q '^note *bridges .*spanning tree' "$dir/out" ||
        fail "$(cat "$dir/out")"
}

# A program by a resolver's name, which holds what jitsud wants.
test_who_holds_port_53() {
    configure "$(service www 20)"
    cp "$BUILD/jitsud" "$dir/dnsmasq"
    JITSU_LIBEXEC=$BUILD nsenter --net="/run/netns/$host" -- "$dir/dnsmasq" -c "$dir/jitsud.json" >> "$dir/log" 2>&1 &
    jitsud_pid=$!
    wait_until "$patience" is_ready || fail "it does not start" || return 1
    wait_connected || return 1
    doctor --json doctor "$dir/jitsud.json" > "$dir/out" && fail "nobody is in the way" && return 1
    grep '"check":"port","grade":"bad"' "$dir/out" | grep 'dnsmasq is in' | grep -q "server=/jitsu.example/$host_ip" ||
        fail "$(cat "$dir/out")" || return 1
    stop_jitsud
    start_jitsud || return 1
    doctor doctor "$dir/jitsud.json" | grep -q '^good *port' || fail "jitsud is in its own way: $(doctor doctor "$dir/jitsud.json")"
}

# Where jitsud runs, it says itself which services it cannot hold.
test_what_cannot_be_held() {
    configure "$(service www 20 hold '"park"')" "$(service own 1 hold '"park"')"
    start_jitsud || return 1
    wait_until 60 eval "ctl --json list | grep -q 'its address 10.77.0.1 is'" || fail "$(ctl --json list)" || return 1
    doctor -S "$dir/run/control.sock" --json doctor "$dir/jitsud.json" > "$dir/out"
    grep '"check":"services"' "$dir/out" | grep -q '"note".*clients of .*own.*10.77.0.1 is the one of bridge br0' ||
        fail "$(grep services "$dir/out")" || return 1
    grep '"check":"services"' "$dir/out" | grep -q www && fail "www can be held: $(grep services "$dir/out")" && return 1
    doctor -S "$dir/run/nobody.sock" doctor "$dir/jitsud.json" | grep -q ' services ' && fail "nobody has said that"
    return 0
}

# ... and which hypervisor it does not reach.
test_a_hypervisor_that_is_not_there() {
    hypervisors="{\"name\": \"none\", \"uri\": \"qemu+unix:///system?socket=$dir/nobody\"}"
    configure "$(service www 20 machine.hypervisor '"none"')"
    start_jitsud || return 1
    wait_until 20 eval "ctl status | grep -q 'none: not connected: .'" || fail "$(ctl status)" || return 1
    doctor -S "$dir/run/control.sock" --json doctor "$dir/jitsud.json" > "$dir/out" && fail "all is well" && return 1
    grep '"check":"hypervisors","grade":"bad"' "$dir/out" | grep -q "hypervisor none: not connected: .*$dir/nobody" ||
        fail "$(grep hypervisors "$dir/out")"
}

run_tests "$@"
