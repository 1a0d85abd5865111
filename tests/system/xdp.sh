#!/bin/bash
# Plain queries answered by XDP on a veth of their own: d0 10.78.0.1 in the host, eth1 10.78.0.2 in the client.
. "$(dirname "$0")/lib.sh"

xdp_ip=10.78.0.1

# begin SERVICE...: a jitsud that serves there, too, with the program in place
begin() {
    ip -n "$host" link add d0 type veth peer name eth1 netns "$client" || return 1
    ip -n "$host" addr add $xdp_ip/24 dev d0
    ip -n "$host" addr add fd78::1/64 dev d0 nodad
    ip -n "$client" addr add 10.78.0.2/24 dev eth1
    ip -n "$client" addr add fd78::2/64 dev eth1 nodad
    ip -n "$host" link set d0 up
    ip -n "$client" link set eth1 up
    top_keys='"dns": {"xdp": "on"},' configure "$@"
    sed -i "s/\"listen\": \[/&\"$xdp_ip:53\", \"[fd78::1]:53\", /" "$dir/jitsud.json"
    start_jitsud || return 1
    has_program && return 0
    grep -q 'no BPF' "$dir/log" && skip "$(grep -m1 -o 'no BPF.*' "$dir/log")"
    fail "no program on d0: $(grep 'DNS on' "$dir/log")"
}

has_program() { ip -n "$host" -d link show d0 | grep -q 'prog/xdp id'; }
xdp_answers() { ctl --json status | sed -n 's/.*"xdp_answers": *\([0-9]*\).*/\1/p'; }
# plain NAME [TYPE] [SERVER]: the short answer to a query that XDP may answer
plain() {
    in_client dig +short +nocookie +tries=1 +time="$patience" "@${3:-$xdp_ip}" "$1.jitsu.example" "${2:-A}" 2>/dev/null
}
# answered_there BEFORE HOW-MANY
answered_there() { [ "$(xdp_answers)" = $(($1 + $2)) ] || fail "$(($(xdp_answers) - $1)) answers by XDP, not $2"; }

test_answers_while_up() {
    # (the guest speaks IPv4 only, so its IPv6 address cannot be probed)
    begin "$(service www 20 ip '["10.77.0.20/24", "fd77::20/64"]' ready '["delay:500"]')" || return 1
    [ "$(plain www)" = 10.77.0.20 ] || fail "the query that wakes it is not answered" || return 1
    answered_there 0 0 || return 1
    wait_state www up || return 1
    page 10.77.0.20 | grep -q '^name www' || fail "no page" || return 1
    [ "$(plain www)" = 10.77.0.20 ] || fail "no answer" || return 1
    [ "$(plain WWW AAAA)" = fd77::20 ] || fail "no AAAA" || return 1
    [ "$(plain www A fd78::1)" = 10.77.0.20 ] || fail "no answer over IPv6" || return 1
    answered_there 0 3 || return 1
    # a cookie is for dns, and so is what comes in by br0 over TCP
    [ "$(in_client dig +short +cookie "@$xdp_ip" www.jitsu.example)" = 10.77.0.20 ] || fail "no answer with a cookie" || return 1
    [ "$(plain nothing)" = '' ] || fail "an answer for nothing" || return 1
    answered_there 0 3 || return 1
    ctl --json stats | grep -q '"xdp_answers": *3' || fail "stats do not say so: $(ctl stats)" || return 1
    [ "$(field xdp_answers www)" = 3 ] || fail "show says $(field xdp_answers www)" || return 1
    ctl status | grep -q 'd0: generic' || fail "status does not name d0: $(ctl status)" || return 1
    # off: every query wakes it again
    ctl stop www && wait_state www off || return 1
    [ "$(plain www)" = 10.77.0.20 ] || fail "not woken" || return 1
    answered_there 0 3 || return 1
    wait_state www up || return 1
    stop_jitsud
    ! has_program || fail "the program is left on d0"
}

test_queries_keep_it_up() {
    begin "$(service www 20 idle_timeout '"500ms"' dns_horizon '"2s"' ready '["tcp:80"]')" || return 1
    plain www > /dev/null
    wait_state www up || return 1
    local i boots; boots=$(field boots www)
    for i in $(seq 10); do
        [ "$(plain www)" = 10.77.0.20 ] || fail "no answer" || return 1
        sleep 0.5
    done
    is_state www up && [ "$(field boots www)" = "$boots" ] || fail "it was stopped while it was asked for" || return 1
    [ "$(xdp_answers)" -ge 10 ] || fail "only $(xdp_answers) answers by XDP" || return 1
    wait_state www off 20 || fail "nobody asks any more, and it is $(state_of www)" || return 1
    plain www > /dev/null
    wait_state www up && [ "$(field boots www)" -gt "$boots" ] || fail "not started again"
}

test_killed_launcher() {
    begin "$(service www 20 ready '["tcp:80"]')" || return 1
    plain www > /dev/null
    wait_state www up || return 1
    local pid before; pid=$(process_pid launcher)
    kill -STOP "$jitsud_pid" # nobody starts another one yet
    kill -9 "$pid"
    wait_until 5 eval '! has_program' || fail "the program outlives the launcher" || return 1
    [ "$(plain www)" = 10.77.0.20 ] || fail "dns does not answer alone" || return 1
    kill -CONT "$jitsud_pid"
    wait_until "$patience" has_program || fail "no program of the next launcher" || return 1
    wait_until "$patience" is_state www up || return 1
    before=$(xdp_answers)
    wait_until 10 eval 'plain www > /dev/null; [ "$(xdp_answers)" -gt '"$before"' ]' || fail "the next launcher's does not answer"
}

# Another interface of the same number and address, made before anybody looked.
test_interface_is_replaced() {
    begin "$(service www 20 ready '["tcp:80"]')" || return 1
    local pid number; pid=$(process_pid launcher)
    number=$(ip -n "$host" -o link show d0 | cut -d: -f1)
    kill -STOP "$pid"
    ip -n "$host" link del d0
    ip -n "$host" link add d0 index "$number" type veth peer name eth1 netns "$client" || return 1
    ip -n "$host" addr add $xdp_ip/24 dev d0
    ip -n "$host" link set d0 up
    kill -CONT "$pid"
    wait_until "$patience" has_program || fail "no program on the new d0: $(ctl status | grep -A2 '^xdp ')"
}

run_tests "$@"
