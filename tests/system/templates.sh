#!/bin/bash
# Addresses from pools, and templates: a VM for every name that somebody asks for.
. "$(dirname "$0")/lib.sh"
pools='"10.77.0.150-10.77.0.199/24"'

template() { # template [KEY JSON]...: vm, for *.vm.jitsu.example
    service vm 0 dns '["*.vm.jitsu.example"]' ip '["auto"]' machine.cmdline \
        '"ip={ip}/{prefix} gw={gw} name={label} boot={boot}"' "$@"
}
instances() { field instances vm; }
have_instances() { [ "$(instances)" = "$1" ]; }
launcher_is_another() { local pid; pid=$(process_pid launcher) && [ "$pid" != "$1" ] && ctl --json list > /dev/null; }

# The pool has three, the host one of them, and another machine the next: which shows when it is asked whether that is free.
test_addresses_of_a_pool() {
    pools='"10.77.0.1-10.77.0.3/24"' conflict_probe=300ms
    configure "$(service www 0 ip '["auto"]' hold '"park"')"
    start_jitsud && wait_held www || return 1
    [ "$(ask www)" = 10.77.0.3 ] || fail "it has $(ask www): $(ctl show www)" || return 1
    page 10.77.0.3 | grep -q '^name www' || fail "no page at its address" || return 1
    grep -q 'service=www another machine uses 10.77.0.2 .*: it is given 10.77.0.3' "$dir/log" || fail "the log does not tell" || return 1
    ctl add api --dns api.jitsu.example --ip auto --ports 80 --kernel "$dir/images/www.elf" --memory 16MiB \
        --cmdline 'ip={ip}/{prefix} gw={gw} name={name}' > "$dir/out" 2>&1 && fail "there is one for api: $(ctl list)" && return 1
    grep -q 'have no address left' "$dir/out" || fail "$(cat "$dir/out")"
}

# Ten names, ten VMs, ten addresses; whatever becomes of the launcher meanwhile.
test_a_vm_for_every_name() {
    local n launcher again
    configure "$(template idle_timeout '"60s"')"
    start_jitsud || return 1
    for n in $(seq 10); do ask "x$n.vm" > "$dir/answer$n" & done
    wait_until "$patience" have_instances 10 || fail "$(instances) instances: $(ctl list)" || return 1
    for n in $(seq 10); do
        wait_until "$patience" [ -s "$dir/answer$n" ] || fail "x$n.vm has no address: $(ctl show "vm-x$n")" || return 1
        page "$(cat "$dir/answer$n")" | grep -q "^name x$n\$" || fail "x$n.vm is not served" || return 1
    done
    [ "$(cat "$dir"/answer* | sort -u | wc -l)" = 10 ] || fail "addresses are not their own: $(cat "$dir"/answer*)" || return 1
    [ "$(our_vms | wc -l)" = 10 ] || fail "$(our_vms | wc -l) VMs run" || return 1
    ctl list | grep -q '^vm  *template  *10 of 16 made' || fail "list: $(ctl list)" || return 1
    [ "$(ask x1.vm AAAA)$(ask y.x1.vm)$(ask x_y.vm)" = '' ] && [ "$(instances)" = 10 ] || fail "too many names" || return 1
    # killed while they run: they are its successor's
    launcher=$(process_pid launcher)
    kill -9 "$launcher"
    wait_until "$patience" launcher_is_another "$launcher" || fail "no other launcher" || return 1
    have_instances 10 || fail "it knows $(instances) instances" || return 1
    again=$(ask x11.vm) && ! grep -q "^$again\$" "$dir"/answer[0-9] "$dir"/answer10 ||
        fail "x11.vm is given $again" || return 1
    for n in 1 10; do
        [ "$(ask "x$n.vm")" = "$(cat "$dir/answer$n")" ] || fail "x$n.vm has another address" || return 1
        page "$(cat "$dir/answer$n")" | grep -q "^boot 1\$" || fail "x$n.vm is not the VM that it was" || return 1
    done
    # another record, and no template any more: they go when nobody uses them
    configure "$(template idle_timeout '"300ms"' dns_horizon '"300ms"' instance_ttl '"1s"')"
    ctl reload > "$dir/out" 2>&1 || fail "reload: $(cat "$dir/out")" || return 1
    wait_until "$patience" have_instances 0 || fail "there are still: $(ctl list)" || return 1
    [ -z "$(our_vms)" ] || fail "VMs run that nobody knows" || return 1
    [ -z "$(find "$dir/run" -name '*vm-x*')" ] || fail "files are left: $(find "$dir/run" -name '*vm-x*')" || return 1
    # asked for once more
    summon x3.vm | grep -q '^name x3$' || fail "x3.vm does not come again"
}

# A flood of names from forged addresses takes half of what there may be, and those who show who they are have theirs.
test_forged_names() {
    local some
    limits='"max_starting": 4, "wakes_per_source": "10000/min", "wakes_per_service": "10000/min", "wakes_unverified": "10000/min"'
    configure "$(template max_instances 4 machine.memory '"8MiB"')"
    start_jitsud || return 1
    ip -n "$host" route add 20.0.0.0/8 via "$client_ip"
    in_client "$packets" queries eth0 "$client_ip" "$host_ip" 20.0.0.1 10000 vm.jitsu.example 500 3000 3000 &
    local forging=$!
    wait_until 10 have_instances 2 || fail "nothing is made: $(ctl list)" || return 1
    some=$(ask mine.vm A +tcp) && page "$some" | grep -q '^name mine$' || fail "mine.vm is not served" || return 1
    wait "$forging" || fail "the flood did not go through" || return 1
    [ "$(instances)" = 3 ] || fail "$(instances) instances: $(ctl list)" || return 1
    some=$(ask yours.vm A +tcp) && [ -n "$some" ] || fail "yours.vm is not made" || return 1
    [ "$(ask_status none.vm +tcp)" = SERVFAIL ] || fail "one too many is made" || return 1
    [ "$(wc -l < "$dir/log")" -lt 200 ] || fail "the log has $(wc -l < "$dir/log") lines"
}

run_tests "$@"
