#!/bin/bash
# suite-arm64.sh: jitsud with jitsu-libxl in dom0 of a nested Xen for arm64, with a Linux guest.  run.sh runs it with
# ARCH=arm64; check.sh counts it.
# shellcheck disable=SC2034,SC2154,SC2012,SC2016 # (what lib.sh has)
hold=park
PATIENCE=${PATIENCE:-240} # emulated twice, a Linux takes its time
# shellcheck disable=SC1091
. /host/source/tests/xen/lib.sh

linux_service() { # linux_service NAME OCTET [KEY JSON]...
    service "$@" start_timeout '"240s"' max_hold '"240s"' machine.kernel "\"$dir/images/linux\"" \
        machine.initrd "\"$dir/images/initrd\"" machine.memory '"192MiB"' \
        machine.cmdline '"console=hvc0 quiet panic=-1 ip={ip}/{prefix} gw={gw} name={name} boot={boot}"'
}

test_wake_by_query() {
    configure "$(linux_service www 20 hold '"off"')"
    start_jitsud || return 1
    local text
    text=$(summon www) || fail "no page: $text $(ctl console www | tail -5)" || return 1
    grep -q '^name www$' <<< "$text" && grep -q '^boot 1$' <<< "$text" || fail "another page: $text" || return 1
    is_state www up || fail "it is $(state_of www)" || return 1
    ctl why www | grep -q dns || fail "why: $(ctl why www)" || return 1
    [ "$(our_vms)" = jitsu-www ] || fail "domains: $(domains)" || return 1
    [ "$(vifs)" = "vif$(domid_of www).0" ] || fail "ports: $(vifs)" || return 1
    ctl stop www || fail "stop failed" || return 1
    is_state www off || fail "it is $(state_of www)" || return 1
    wait_until 20 nothing_runs || fail "left: $(domains) $(vifs)"
}

# The first connection to a VM that is away is held until it is there, and the client's SYN is not lost.
test_wake_by_syn() {
    configure "$(linux_service www 20)"
    start_jitsud && wait_held www || return 1
    local took
    took=$(connect 10.77.0.20) || fail "no page: $(ctl console www | tail -5)" || return 1
    at_once "$took" www || fail "connecting took $took s: $(ctl trace www)" || return 1
    grep -q '^boot 1$' "$dir/connected" || fail "another page: $(cat "$dir/connected")" || return 1
    ctl why www | grep -q syn || fail "why: $(ctl why www)" || return 1
    echo "# connected after $took s"
    ctl stop www || fail "stop failed" || return 1
    wait_until 20 nothing_runs || fail "left: $(domains) $(vifs)"
}

BASH_ARGV0=xen-arm64 # whose tests these are
# shellcheck disable=SC2086
run_tests ${TESTS:-}
