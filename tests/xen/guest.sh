#!/bin/bash
# What guests of Xen say in XenStore: for suite.sh, which has the rest.
# shellcheck disable=SC2154 # (what lib.sh has)

store() { echo "/local/domain/$(domid_of www)/$1"; }
has_said() { xenstore-read "$(store data/jitsu)" 2> /dev/null | grep -q "$1"; }
guest_says() { in_client curl -sf --noproxy '*' -m 30 "http://10.77.0.20/say?${1// /+}" > /dev/null || fail "it cannot be told"; }
why_has() { ctl why www | grep -q "$1"; }
is_busy() { why_has 'it says that it is busy'; }

# Ready when it has said so, and a key is there, as the original jitsu waits for; then busy, and idle.
test_what_a_guest_says() {
    configure "$(service www 20 hold '"off"' ready '["guest", "xenstore:data/up"]' start_timeout '"300s"' \
        idle_timeout '"8s"' dns_horizon '"0s"')"
    start_jitsud || return 1
    ctl start www > /dev/null 2>&1 &
    wait_until 120 has_said ready || fail "the guest says nothing, and it is $(state_of www)" || return 1
    xenstore-write "$(store data/up)" ''
    sleep 1
    is_state www booting || fail "it is $(state_of www) before the key is there" || return 1
    xenstore-write "$(store data/up)" 1
    wait_state www up 60 || fail "the key is there, and it is $(state_of www)" || return 1
    [ "$(field guest_ready www)" = true ] || fail "show: $(ctl show www)" || return 1
    guest_says busy || return 1
    wait_until 30 is_busy || fail "why: $(ctl why www)" || return 1
    kill -9 "$(process_pid local)" # the next one finds what is in the store
    sleep 10
    wait_until 60 is_state www up && is_busy || fail "it is busy, and $(state_of www): $(ctl why www)" || return 1
    guest_says idle || return 1
    wait_state www off 90 || fail "it is idle, and $(state_of www): $(ctl why www)"
}

test_a_lease_outlives_the_launcher() {
    [ -n "${LONG:-}" ] || skip "in check-long"
    configure "$(service www 20 hold '"off"' idle_timeout '"10s"' dns_horizon '"0s"')"
    start_jitsud || return 1
    summon www > /dev/null || return 1
    guest_says 'lease 40' || return 1
    wait_until 30 why_has 'the guest: lease' || fail "why: $(ctl why www)" || return 1
    kill -9 "$(process_pid local)" "$(process_pid launcher)"
    sleep 14
    wait_until 60 is_state www up || fail "it has a lease, and is $(state_of www)" || return 1
    wait_state www off 120 || fail "its lease is over, and it is $(state_of www): $(ctl why www)"
}
