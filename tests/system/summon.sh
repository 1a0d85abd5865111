#!/bin/bash
# Real guests, summoned by nothing but a DNS query.
. "$(dirname "$0")/lib.sh"

test_wake_by_query() {
    configure "$(service www 20)"
    start_jitsud || return 1
    is_state www off || fail "it is $(state_of www) before anybody asked" || return 1
    local text
    text=$(summon www) || fail "no page: $text" || return 1
    grep -q '^name www$' <<< "$text" || fail "another page: $text" || return 1
    grep -q '^boot 1$' <<< "$text" || fail "not the first boot: $text" || return 1
    is_state www up || fail "it is $(state_of www)" || return 1
    [ "$(qemu_of www | wc -l)" = 1 ] || fail "not one QEMU" || return 1
    # QEMU is nobody's root, and its sandbox is on
    local pid; pid=$(qemu_of www)
    [ "$(stat -c %U "/proc/$pid")" = libvirt-qemu ] || fail "QEMU runs as $(stat -c %U "/proc/$pid")" || return 1
    grep -q '^Seccomp:.2' "/proc/$pid/status" || fail "QEMU runs without seccomp" || return 1
    ctl stop www || fail "stop failed" || return 1
    is_state www off && [ -z "$(our_vms)" ] || fail "it still runs" || return 1
    text=$(summon www) || fail "no second page" || return 1
    grep -q '^boot 2$' <<< "$text" || fail "not the second boot: $text"
}

# Only an A or AAAA query for its own name wakes a service.
test_other_queries_wake_nothing() {
    configure "$(service www 20)"
    start_jitsud || return 1
    local type
    for type in TXT MX NS SOA ANY PTR SRV; do ask www $type +norec > /dev/null; done
    ask '' SOA; ask ns1; ask nothere; ask sub.www
    in_client dig +tries=1 +time=5 @$host_ip -x 10.77.0.20 > /dev/null
    sleep 0.5
    is_state www off || fail "it is $(state_of www)" || return 1
    [ "$(ask_status nothere)" = NXDOMAIN ] || fail "no NXDOMAIN" || return 1
    in_client dig +tries=1 +time=5 @$host_ip www.example.org A | grep -q 'status: REFUSED' || fail "not REFUSED" ||
        return 1
    ask www AAAA +tcp > /dev/null
    wait_state www up || fail "AAAA over TCP did not wake it"
}

test_many_clients_one_vm() {
    configure "$(service www 20)"
    start_jitsud || return 1
    local i pids='' good=0
    for i in $(seq 100 149); do
        (
            ip=$(in_client dig +short +tries=1 +time="$patience" -b 10.77.0.$i @$host_ip www.jitsu.example A)
            in_client curl -s --noproxy '*' -m "$patience" --interface 10.77.0.$i "http://$ip/" > "$dir/page.$i"
        ) &
        pids+=" $!"
    done
    wait $pids
    good=$(grep -l '^name www$' "$dir"/page.* | wc -l)
    [ "$good" = 50 ] || fail "$good of 50 got the page" || return 1
    [ "$(grep -h '^boot ' "$dir"/page.* | sort -u)" = 'boot 1' ] || fail "more than one boot" || return 1
    [ "$(our_vms | wc -l)" = 1 ] || fail "$(our_vms | wc -l) VMs" || return 1
    [ "$(field boots www)" = 1 ] || fail "started $(field boots www) times"
}

# Nothing of ours may cost the client a SYN just when it comes: a lost one shows as a second.
test_no_client_waits_a_second() {
    configure "$(service www 20)"
    start_jitsud || return 1
    local i ip took
    for i in $(rounds 20 200); do
        ip -n "$client" neigh flush dev eth0
        ip=$(ask www) || fail "no answer" || return 1
        took=$(in_client curl -s --noproxy '*' -o /dev/null -m 10 -w '%{time_connect}' "http://$ip/") ||
            fail "round $i: no page" || return 1
        awk -v t="$took" 'BEGIN { exit !(t < 0.9) }' || fail "round $i: connecting took $took s" || return 1
        ctl stop www > /dev/null || return 1
    done
}

# The port opens 300 ms after the address answers: with answer: ready nobody is refused.
test_late_port() {
    configure "$(service www 20 machine.cmdline '"ip={ip}/{prefix} name={name} listen_delay=300"')"
    start_jitsud || return 1
    local i ip
    for i in $(rounds 3 30); do
        ip=$(ask www) || fail "no answer" || return 1
        page "$ip" 5 | grep -q '^name www' || fail "round $i: refused (curl: $?)" || return 1
        ctl stop www || return 1
    done
}

# The same without waiting for the port, to show that the test above would notice.
test_late_port_is_refused_without_ready() {
    configure "$(service www 20 answer '"started"' machine.cmdline '"ip={ip}/{prefix} name={name} listen_delay=3000"')"
    start_jitsud || return 1
    local ip; ip=$(ask www) || fail "no answer" || return 1
    page "$ip" 2 && fail "the port was open already"
    return 0
}

test_ipv6_client_and_tcp() {
    configure "$(service www 20)"
    start_jitsud || return 1
    local ip
    ip=$(in_client dig +short +tcp +tries=1 +time="$patience" @fd77::1 wWw.JITSU.example A)
    [ "$ip" = 10.77.0.20 ] || fail "answered: $ip" || return 1
    page "$ip" | grep -q '^name www' || fail "no page" || return 1
    in_client dig +tries=1 +time=5 @fd77::1 wWw.JITSU.example A | grep -q '^wWw.JITSU.example' || fail "case lost"
}

test_answer_at_once() {
    configure "$(service www 20 answer '"at-once"')"
    start_jitsud || return 1
    local began ms
    began=$(now_ms)
    [ "$(ask www)" = 10.77.0.20 ] || fail "not answered" || return 1
    ms=$(( $(now_ms) - began ))
    is_state www up && fail "it was up before the answer" || true
    wait_state www up || fail "it was not woken (answered after $ms ms)"
}

test_linux_guest() {
    [ -f "$dir/images/linux" ] || skip "the Linux guest is not built (make guests-linux)"
    configure "$(service web 30 start_timeout '"120s"' max_hold '"120s"' machine.kernel "\"$dir/images/linux\"" \
        machine.initrd "\"$dir/images/initrd\"" machine.memory '"256MiB"' \
        machine.cmdline "\"console=ttyS0 quiet panic=-1 tsc_early_khz=$(tsc_khz) ip={ip}/{prefix} gw={gw} name={name} boot={boot}\"")"
    start_jitsud || return 1
    local ip; ip=$(patience=120 ask web) || fail "no answer" || return 1
    page "$ip" 60 | grep -q '^name web' || fail "no page" || return 1
    ctl console web | grep -q . || fail "its console is empty"
}

test_aarch64_guest() {
    needs_aarch64
    configure "$(service arm 40 machine.kernel "\"$dir/images/www-arm64.img\"" machine.arch '"aarch64"')"
    start_jitsud || return 1
    summon arm | grep -q '^name arm' || fail "no page"
}

test_pc_machine_and_shutdown() {
    configure "$(service www 20 machine.machine '"pc"' machine.memory '"32MiB"' stop '"shutdown"')"
    start_jitsud || return 1
    summon www | grep -q '^name www' || fail "no page" || return 1
    ctl stop www || fail "it did not shut down" || return 1
    is_state www off || fail "it is $(state_of www)"
}

test_suspend_and_resume() {
    configure "$(service www 20 stop '"suspend"')"
    start_jitsud || return 1
    summon www | grep -q '^boot 1$' || fail "no page" || return 1
    ctl stop www || fail "it was not suspended" || return 1
    is_state www suspended || fail "it is $(state_of www)" || return 1
    summon www | grep -q '^boot 1$' || fail "it was not resumed" || return 1
    is_state www up || fail "it is $(state_of www)" || return 1
    # what is suspended can be ended, by stopping it again, and by removing it from the file
    ctl stop www && is_state www suspended || fail "it is $(state_of www)" || return 1
    ctl stop www && is_state www off && [ -z "$(our_vms)" ] || fail "it cannot be ended: $(state_of www)" || return 1
    summon www | grep -q '^boot 2$' || fail "no second boot" || return 1
    ctl stop www || return 1
    configure "$(service other 21)"
    ctl reload || return 1
    wait_until 10 eval '[ -z "$(our_vms)" ]' || fail "removed from the file, it stays in memory"
}

# More memory than all VMs together may take: refused at once, for waiting would not help.
test_machine_that_never_fits() {
    limits='"memory": "1%", "wakes_per_source": "10000/min"'
    configure "$(service big 20 machine.memory '"64GiB"')"
    start_jitsud || return 1
    local began=$SECONDS
    [ "$(ask_status big)" = SERVFAIL ] || fail "not SERVFAIL" || return 1
    [ $((SECONDS - began)) -le 3 ] || fail "it took $((SECONDS - began)) s" || return 1
    ctl show big | grep -q limits.memory || fail "no reason: $(ctl show big)"
}

test_console_log_trace() {
    configure "$(service www 20)"
    start_jitsud || return 1
    summon www > /dev/null || fail "no page" || return 1
    wait_until 5 eval 'ctl console www | grep -q "www"' || fail "console: $(ctl console www)" || return 1
    ctl log | grep -q 'service=www is up' || fail "log: $(ctl log)" || return 1
    ctl trace www | grep -q www || fail "no trace" || return 1
    ctl --json trace www | grep -q '"t_port_us"' || fail "no port mark: $(ctl --json trace www)" || return 1
    ctl why www | grep -q dns || fail "why: $(ctl why www)"
}

run_tests "$@"
