#!/bin/bash
# A scanner goes over 200 sleeping services: after-dns wakes none of them, any no more than the limits allow.
hold=park
. "$(dirname "$0")/lib.sh"

# 200 services at 10.78.1.1 and after, in a network of their own on the same bridge.
two_hundred() { # two_hundred KEY JSON...
    local n all=()
    ip -n "$host" addr add 10.78.0.1/16 dev br0
    ip -n "$client" addr add 10.78.0.2/16 dev eth0
    for n in $(seq 200); do all+=("$(service "s$n" 0 ip "[\"10.78.1.$n/16\"]" "$@")"); done
    configure "${all[@]}"
    sed -i 's/{"name": "br0"/{"name": "br0", "probe_ip": "10.78.0.1"/' "$dir/jitsud.json"
    start_jitsud && wait_held s1 s100 s200
}

count_states() { ctl --json list | grep -c "\"state\": *\"\\($1\\)\""; }
woken() { # how often, all of them together
    ctl --json list | sed -n 's/.*"wakes": *\([0-9]*\).*/\1/p' | awk '{ n += $1 } END { print n + 0 }'
}

# Looks at the states while the scan is under way: the most at once of those in $1 goes to $dir/most.
watch_most() { # watch_most STATES PID
    local most=0 now
    while alive "$2"; do
        now=$(count_states "$1")
        [ "$now" -le "$most" ] || most=$now
        sleep 0.05
    done
    echo "$most" > "$dir/most"
}

scan() { # scan FROM N RATE: 10,000 SYNs
    in_client "$packets" scan eth0 "$1" "$2" 10.78.1.1 200 80 10000 "$3"
}

test_after_dns_wakes_nothing() {
    two_hundred wake_syn '"after-dns"' || return 1
    scan 10.78.0.2 1 5000 && scan 10.78.2.1 5000 5000 || fail "the scan did not go through" || return 1
    [ "$(woken)" = 0 ] && [ -z "$(our_vms)" ] || fail "$(woken) were woken" || return 1
    # (a client of one of them, after all that)
    in_client dig +short +tries=1 +time=5 "@$host_ip" s7.jitsu.example A > /dev/null
    local took; took=$(connect 10.78.1.7) || fail "a real client was not served" || return 1
    at_once "$took" s7 || fail "a real client waited $took s" || return 1
    [ "$(woken)" = 1 ] || fail "$(woken) were woken"
}

test_any_wakes_no_more_than_allowed() {
    limits='"max_starting": 2, "max_running": 6, "wakes_per_source": "4/min"'
    two_hundred || return 1
    scan 10.78.0.2 1 2000 & # one source
    watch_most 'starting\|booting' $!
    [ "$(cat "$dir/most")" -le 2 ] || fail "$(cat "$dir/most") were being started at once" || return 1
    sleep 1
    [ "$(woken)" -ge 1 ] && [ "$(woken)" -le 4 ] || fail "one source woke $(woken)" || return 1
    [ "$(grep -c 'sweep' "$dir/log")" = 1 ] || fail "the sweep is not told once: $(grep sweep "$dir/log")" || return 1
    [ "$(ctl --json status | grep -c '"sweeps": *1\b')" = 1 ] || fail "it was not counted: $(ctl status)" || return 1
    scan 10.78.2.1 5000 2000 & # many
    watch_most 'starting\|booting\|up\|draining' $!
    [ "$(cat "$dir/most")" -le 6 ] || fail "$(cat "$dir/most") ran at once" || return 1
    sleep 1
    [ "$(our_vms | wc -l)" -le 6 ] || fail "$(our_vms | wc -l) VMs run" || return 1
    [ "$(wc -l < "$dir/log")" -lt 200 ] || fail "the log has $(wc -l < "$dir/log") lines" || return 1
    # and everything works on
    alive "$jitsud_pid" && ask s1 > /dev/null || fail "no answer any more"
}

run_tests "$@"
