#!/bin/bash
# Metrics over HTTP, as Prometheus would ask for them.
. "$(dirname "$0")/lib.sh"

port=9464

scrape() { in_host curl -sS --max-time 10 "http://127.0.0.1:$port/metrics"; }
metric() { scrape | sed -n "s/^$(printf '%s' "$1" | sed 's/[][\.*^$/]/\\&/g') //p"; } # metric NAME{LABELS}: its value
is_metric() { [ "$(metric "$1")" = "$2" ]; }

test_a_wake_is_counted() {
    top_keys="\"metrics\": {\"listen\": [\"127.0.0.1:$port\"], \"services\": true},"
    configure "$(service www 20)" "$(service other 21)"
    start_jitsud || return 1
    is_metric 'jitsu_services{state="off"}' 2 || fail "not two services off: $(scrape | head -50)" || return 1
    summon www | grep -q '^name www' || fail "no page" || return 1
    wait_until 10 is_metric 'jitsu_wakes_total{cause="dns",result="up"}' 1 || fail "the wake is not counted" || return 1
    is_metric 'jitsu_wake_phase_seconds_count{phase="up"}' 1 && is_metric 'jitsu_wake_phase_seconds_count{phase="link"}' 1 &&
        is_metric 'jitsu_service_up{service="www"}' 1 && is_metric 'jitsu_service_up{service="other"}' 0 &&
        is_metric 'jitsu_hypervisor_up{hypervisor="local"}' 1 && is_metric 'jitsu_process_up{process="dns"}' 1 ||
        fail "wrong: $(scrape)" || return 1
    local queries; queries=$(metric 'jitsu_dns_queries_total{transport="udp4"}')
    [ "$queries" -ge 1 ] || fail "no query is counted" || return 1
    kill -9 "$(process_pid dns)"
    wait_until 10 is_metric 'jitsu_process_restarts_total{process="dns"}' 1 || fail "dns's restart is not counted" || return 1
    wait_until 10 eval 'ask www | grep -q 10.77.0.20' || fail "dns does not answer" || return 1
    [ "$(metric 'jitsu_dns_queries_total{transport="udp4"}')" -gt "$queries" ] || fail "the counter went back" || return 1
    ! command -v promtool > /dev/null || scrape | promtool check metrics || fail "promtool finds mistakes"
}

test_without_the_option() {
    configure "$(service www 20)"
    start_jitsud || return 1
    [ "$(in_host ss -Htln | grep -v ':53 ')" = "" ] || fail "it listens: $(in_host ss -Htln)" || return 1
    top_keys="\"metrics\": {\"listen\": [\"127.0.0.1:$port\"]},"
    configure "$(service www 20)"
    ctl reload || return 1
    wait_until 10 is_metric 'jitsu_services{state="off"}' 1 || fail "not served after a reload" || return 1
    scrape | grep -q '^jitsu_service_up' && fail "services are told by name" && return 1
    local control; control=$(process_pid control)
    top_keys=
    configure "$(service www 20)"
    ctl reload || return 1
    wait_until 10 eval '! scrape > /dev/null 2>&1' || fail "still served" || return 1
    [ "$(process_pid control)" = "$control" ] || fail "control was restarted"
}

run_tests "$@"
