#!/bin/bash
# Where many services are held, the port that one VM leaves is the next one's, whichever it is; and nothing
# that was the last one's reaches the next.
hold=park
. "$(dirname "$0")/lib.sh"

# sleepers N: the JSON of an import, of services that nobody wakes
sleepers() {
    awk -v n="$1" -v kernel="$dir/images/www.elf" 'BEGIN {
        printf "{\"services\": ["
        for (i = 0; i < n; i++)
            printf "%s{\"name\": \"s%d\", \"dns\": [\"s%d.jitsu.example\"], \"ip\": [\"10.77.%d.%d/16\"], \"hold\": \"park\", " \
                "\"machine\": {\"kernel\": \"%s\", \"nics\": [{\"bridge\": \"br0\"}]}}\n", (i ? "," : ""), i, i, 1 + int(i / 250), i % 250 + 1, kernel
        print "]}"
    }'
}

ports() { ip -n "$host" -o link show master br0 | sed -n 's/^\([0-9]*\): \(jt[^:@]*\).*/\1 \2/p'; }
port_number() { ports | cut -d' ' -f1; }
is_spare() { ip -n "$host" link show master br0 | grep -q 'alias jitsu:(spare):0'; }

sleep_again() { # sleep_again SERVICE
    ctl stop "$1" > /dev/null && wait_state "$1" off || fail "$1 does not stop: $(ctl show "$1")" || return 1
    wait_until 10 is_spare || fail "its port is not kept: $(ip -n "$host" -d link show master br0)" || return 1
}

test_a_port_serves_one_vm_after_the_other() {
    configure "$(service www 20)" "$(service mail 21)"
    sleepers 1000 > "$dir/sleepers.json"
    start_jitsud && ctl import "$dir/sleepers.json" > /dev/null && wait_held www mail s999 || return 1
    local number took who
    [ -z "$(ports)" ] || fail "ports before any VM: $(ports)" || return 1
    page 10.77.0.20 | grep -q '^boot 1$' || fail "no page of www" || return 1
    number=$(port_number)
    sleep_again www || return 1
    for who in mail:21 mail:21 www:20; do
        forget_neighbours
        page "10.77.0.${who#*:}" | grep -q "^name ${who%:*}" || fail "no page of $who: $(ctl show "${who%:*}")" || return 1
        [ "$(port_number)" = "$number" ] || fail "not the port $number: $(ports)" || return 1
        ip -n "$host" link show master br0 | grep -q "alias jitsu:${who%:*}:0" || fail "whose is it: $(ports)" || return 1
        sleep_again "${who%:*}" || return 1
    done
    # what came for www goes to it, not to who has its port now
    page 10.77.0.21 > /dev/null || fail "mail does not come up" || return 1
    page 10.77.0.20 | grep -q '^name www' || fail "no page of www beside mail" || return 1
    [ "$(ports | wc -l)" = 2 ] || fail "ports: $(ports)" || return 1
    # a launcher that is killed leaves spare taps, which its successor deletes; VMs keep theirs
    sleep_again mail || return 1
    kill -9 "$(process_pid launcher)"
    wait_until "$patience" eval '! is_spare' || fail "it is left: $(ports)" || return 1
    [ "$(port_number | wc -l)" = 1 ] || fail "ports after the launcher's death: $(ports)" || return 1
    wait_held www mail || return 1
    page 10.77.0.20 | grep -q '^name www' || fail "no page of www after the launcher's death" || return 1
    page 10.77.0.21 | grep -q '^name mail' || fail "no page of mail after the launcher's death" || return 1
    sleep_again mail || return 1
    stop_jitsud
    is_spare && fail "an orderly stop leaves a spare tap: $(ports)" && return 1
    nothing_is_held
}

run_tests "$@"
