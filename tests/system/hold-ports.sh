#!/bin/bash
# Each connection waits for its own port: ports that open late, never, or are behind a firewall; and what
# is said to those who waited in vain.
hold=park
. "$(dirname "$0")/lib.sh"

# The others of the same VM do not wait for the late one, which is served when it is there.
test_port_that_opens_later() {
    configure "$(service www 20 ports '[80, 81]' \
        machine.cmdline "$(guest port=80,81:2000)")"
    start_jitsud && wait_held www || return 1
    local took
    connect 10.77.0.20:81 > "$dir/late" &
    took=$(connect 10.77.0.20) || fail "no page" || return 1
    at_once "$took" || fail "the first port waited for the second: $took s" || return 1
    # in between: one that was there from the beginning, and new ones to both
    took=$(connect 10.77.0.20) && at_once "$took" || fail "a new client of the open port: $took s" || return 1
    took=$(connect 10.77.0.20:81 --interface 10.77.0.101) ||
        fail "a new client of the late port was refused" || return 1
    wait $!
    between 1.5 3.5 "$(cat "$dir/late")" ||
        fail "the client of the late port was connected after $(cat "$dir/late") s" || return 1
    took=$(connect 10.77.0.20:81) && at_once "$took" || fail "now that it is open: $took s"
}

# A port that nobody configured, and that opens later: held as well.
test_late_port_not_configured() {
    configure "$(service www 20 machine.cmdline "$(guest port=80,81:1500)")"
    start_jitsud && wait_held www || return 1
    connect 10.77.0.20:81 > "$dir/late" || fail "it was refused (curl: $?)" || return 1
    between 1 3.5 "$(cat "$dir/late")" || fail "connected after $(cat "$dir/late") s"
}

# It is refused three seconds after the first one opened, by us, and at once from then on, by the VM.
test_port_that_never_opens() {
    configure "$(service www 20 ports '[80, 81]')" "$(service one 21)"
    start_jitsud && wait_held www one || return 1
    local took
    (connect 10.77.0.20:81; echo " $?") > "$dir/never" &
    took=$(connect 10.77.0.20) && at_once "$took" || fail "the open port: $took s" || return 1
    wait $!
    [ "$(awk '{ print $2 }' "$dir/never")" = 7 ] || fail "not refused: curl $(cat "$dir/never")" || return 1
    local began; began=$(now_ms)
    in_client curl -s -m 5 http://10.77.0.20:81/
    [ $? = 7 ] || fail "later not refused" || return 1
    [ $(( $(now_ms) - began )) -lt 500 ] || fail "later refused only after a while" || return 1
    # no port of it is configured but 80, and nobody wants that
    began=$(now_ms)
    in_client curl -s -m 15 http://10.77.0.21:81/
    [ $? = 7 ] || fail "one: not refused" || return 1
    began=$(( $(now_ms) - began ))
    [ $began -gt 2500 ] && [ $began -lt 6000 ] || fail "one: refused after $began ms"
}

# A firewall in the guest drops our probes: then silence counts, once the address answers.
test_firewall_drops_probes() {
    configure "$(service www 20 machine.cmdline "$(guest filter=10.77.0.2)")" \
        "$(service late 21 machine.cmdline "$(guest filter=10.77.0.2 arp_delay=1000)")"
    start_jitsud && wait_held www late || return 1
    local i took
    for i in $(rounds 3 30); do
        took=$(connect 10.77.0.20) || fail "round $i: no page (curl: $?)" || return 1
        at_once "$took" www || fail "round $i: connecting took $took s" || return 1
        ctl stop www > /dev/null || return 1
    done
    took=$(connect 10.77.0.21) || fail "late: no page" || return 1
    between 0 1.9 "$took" || fail "late: connecting took $took s"
}

# refused_after URL: prints curl's status and the ms it took
refused_after() {
    local began status; began=$(now_ms)
    in_client curl -s --noproxy '*' -o /dev/null -m 20 "$1"
    status=$?
    echo "$status $(( $(now_ms) - began ))"
}
refused_between() { # refused_between WHAT FROM TO "STATUS MS"
    local status=${4% *} ms=${4#* }
    [ "$status" = 7 ] || fail "$1: not refused, curl says $status" || return 1
    [ "$ms" -ge "$2" ] && [ "$ms" -le "$3" ] || fail "$1: refused after $ms ms"
}

# It does not come up: RST, as soon as that is known, or max_hold after the SYN.
test_start_that_fails() {
    configure "$(service nothere 20 machine.kernel "\"$dir/images/nothere.elf\"")" \
        "$(service hangs 21 start_timeout '"2s"' machine.cmdline '"hang=1"')" \
        "$(service slow 22 max_hold '"1s"' machine.cmdline "$(guest arp_delay=2500)")"
    start_jitsud && wait_held nothere hangs slow || return 1
    refused_between nothere 0 1500 "$(refused_after http://10.77.0.20/)" || return 1
    ctl show nothere | grep -q nothere.elf || fail "no reason: $(ctl show nothere)" || return 1
    refused_between hangs 1500 5000 "$(refused_after http://10.77.0.21/)" || return 1
    wait_until 10 eval '[ -z "$(qemu_of hangs)" ]' || fail "its VM is left" || return 1
    refused_between max_hold 800 2000 "$(refused_after http://10.77.0.22/)" || return 1
    # it came up all the same, for nobody; the next client finds it
    wait_state slow up 10 || fail "it is $(state_of slow)" || return 1
    page 10.77.0.22 | grep -q '^name slow' || fail "no page"
}

# While the back-off runs clients are refused, and served once it can start.
test_failed_service_recovers() {
    configure "$(service www 20 machine.kernel "\"$dir/images/later.elf\"")"
    start_jitsud && wait_held www || return 1
    refused_between first 0 1500 "$(refused_after http://10.77.0.20/)" || return 1
    cp "$guests/www.elf" "$dir/images/later.elf"
    wait_until 10 eval 'page 10.77.0.20 5 | grep -q "^name www"' || fail "it is $(state_of www): $(ctl show www)"
}

# More wait than may run: one after the other, or max_hold.
test_limits_queue() {
    limits='"max_running": 1, "max_starting": 1, "wakes_per_source": "10000/min"'
    configure "$(service one 20 idle_timeout '"1s"')" "$(service two 21 max_hold '"30s"')"
    start_jitsud && wait_held one two || return 1
    page 10.77.0.20 | grep -q '^name one' || fail "no page" || return 1
    page 10.77.0.21 | grep -q '^name two' || fail "the second one was never started: $(ctl show two)"
}

# No more connections than one client may have; those over it are served by their retransmission.
test_held_per_source() {
    limits='"held_per_source": 5, "wakes_per_source": "10000/min"'
    configure "$(service www 20 machine.cmdline "$(guest arp_delay=1500)")"
    start_jitsud && wait_held www || return 1
    in_client "$packets" clients "$patience" 20 10.77.0.2 10.77.0.20:80 > "$dir/clients" &
    local asking=$!
    wait_until 2 is_state www booting
    sleep 0.3
    [ "$(flows_of www)" = 5 ] || fail "$(flows_of www) are held" || return 1
    # another client is not concerned
    local took; took=$(connect 10.77.0.20 --interface 10.77.0.101) || fail "another client was not served" || return 1
    wait $asking || fail "not all were served: $(grep -v 'boot 1$' "$dir/clients")"
}

run_tests "$@"
