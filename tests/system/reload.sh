#!/bin/bash
# SIGHUP: changed services change, running ones go on; a bad file changes nothing.
. "$(dirname "$0")/lib.sh"

reload_and_wait() { # reload_and_wait LINES: until the log has that many reloads
    kill -HUP "$jitsud_pid"
    wait_until 10 eval "[ \$(grep -c 'configuration read again\|nothing has changed' '$dir/log') -ge $1 ]" ||
        fail "not reloaded: $(tail -5 "$dir/log")"
}

test_add_change_remove() {
    configure "$(service www 20)" "$(service old 21 idle_timeout '"2s"')"
    start_jitsud || return 1
    summon www > /dev/null && summon old > /dev/null || return 1
    local qemu; qemu=$(qemu_of www)
    configure "$(service www 20 ttl '"7s"')" "$(service fresh 22)"
    reload_and_wait 1 || return 1
    [ "$(qemu_of www)" = "$qemu" ] || fail "a running service was touched" || return 1
    in_client dig +tries=1 +time=5 @$host_ip www.jitsu.example A | grep -q 'example.[[:space:]]*7[[:space:]]' ||
        fail "the new TTL is not used" || return 1
    summon fresh | grep -q '^name fresh' || fail "the new service does not work" || return 1
    [ "$(ask_status old)" = NXDOMAIN ] || fail "the removed one is still in DNS" || return 1
    wait_until 20 eval '[ -z "$(qemu_of old)" ]' || fail "the removed one's VM is never stopped" || return 1
    ctl list | grep -q old && fail "it is still listed"
    return 0
}

test_bad_file_changes_nothing() {
    configure "$(service www 20)"
    start_jitsud || return 1
    local qemu
    summon www > /dev/null || return 1
    qemu=$(qemu_of www)
    cp "$dir/jitsud.json" "$dir/good"
    sed -i 's/"ttl": "1s"/"ttl": "abc", "idel_timeout": "5s"/' "$dir/jitsud.json"
    reload_and_wait 1 || return 1
    grep -q 'services\[0\].ttl.*abc' "$dir/log" || fail "no reason for ttl" || return 1
    grep -q 'idle_timeout' "$dir/log" || fail "no suggestion" || return 1
    ask www | grep -q 10.77.0.20 && [ "$(qemu_of www)" = "$qemu" ] || fail "something changed" || return 1
    ctl reload && fail "jitsuctl reload says nothing" && return 1
    # the launcher dies while the file is bad: it goes on with what was in force
    kill -9 "$(process_pid launcher)"
    wait_until 5 is_state www up || fail "after a restart it is $(state_of www)" || return 1
    cp "$dir/good" "$dir/jitsud.json"
    ctl reload || fail "a good file is refused"
}

test_check_config() {
    configure "$(service www 20 ttl '"abc"' idel_timeout '"5s"' stop '"explode"')"
    "$BUILD/jitsud" --check-config "$dir/jitsud.json" > "$dir/out" 2>&1 && fail "it passes" && return 1
    [ "$(grep -c "^$dir/jitsud.json:[0-9]*:[0-9]*: services\[0\]" "$dir/out")" = 3 ] ||
        fail "not three mistakes: $(cat "$dir/out")" || return 1
    in_host "$BUILD/jitsud" -c "$dir/jitsud.json" > "$dir/out" 2>&1 && fail "it starts" && return 1
    configure "$(service www 20)"
    "$BUILD/jitsud" --check-config "$dir/jitsud.json" || return 1
    "$BUILD/jitsud" --print-config "$dir/jitsud.json" > "$dir/printed.json" || return 1
    "$BUILD/jitsud" --check-config "$dir/printed.json" || fail "what is printed does not load"
}

test_listen_change() {
    configure "$(service www 20)"
    start_jitsud || return 1
    sed -i "s/\"$host_ip:53\"/\"$host_ip:5353\"/" "$dir/jitsud.json"
    reload_and_wait 1 || return 1
    wait_until 5 eval '[ "$(in_client dig +short +tries=1 +time='"$patience"' -p 5353 @'$host_ip' www.jitsu.example A)" = 10.77.0.20 ]' ||
        fail "the new port does not answer" || return 1
    in_client dig +short +tries=1 +time=1 @$host_ip www.jitsu.example A | grep -q 10.77 && fail "the old port answers"
    return 0
}

workers_are() { [ "$(ctl stats --json | sed -n 's/.*"workers":\([0-9]*\).*/\1/p')" = "$1" ]; }

# From ports that lead to all of its sockets.
all_are_answered() {
    local i
    for i in $(seq 20); do
        ask www | grep -q 10.77.0.20 || fail "query $i was lost" || return 1
    done
}

test_workers_follow_the_configuration() {
    local top_keys='"dns": {"workers": 1},'
    configure "$(service www 20)"
    start_jitsud || return 1
    summon www > /dev/null || return 1
    workers_are 2 || fail "not one for each address: $(ctl stats)" || return 1 # two of them
    local dns; dns=$(process_pid dns)
    sed -i 's/"workers": 1/"workers": 3/' "$dir/jitsud.json"
    reload_and_wait 1 || return 1
    wait_until 5 workers_are 6 || fail "not three for each: $(ctl stats)" || return 1
    [ "$(process_pid dns)" = "$dns" ] || fail "dns was restarted for more workers" || return 1
    all_are_answered || return 1
    sed -i 's/"workers": 3/"workers": 2/' "$dir/jitsud.json"
    reload_and_wait 2 || return 1
    wait_until 10 workers_are 4 || fail "not two for each: $(ctl stats)" || return 1
    all_are_answered || return 1
    kill -9 "$(process_pid dns)"
    wait_until 10 workers_are 4 || fail "the next dns has others: $(ctl stats)" || return 1
    all_are_answered || return 1
    ctl stats | grep -q '^queries udp4  *[2-9][0-9]' || fail "they are not counted: $(ctl stats)" || return 1
    # sockets that share a port do not share it with another jitsud
    sed "s|\"run_dir\": \"$dir/run\"|\"run_dir\": \"$dir/run2\"|" "$dir/jitsud.json" > "$dir/second.json"
    in_host timeout 20 "$BUILD/jitsud" -c "$dir/second.json" > "$dir/second.log" 2>&1 && fail "a second one runs" && return 1
    grep -q "cannot listen on $host_ip:53 (UDP): another program holds it" "$dir/second.log" ||
        fail "it does not say why: $(cat "$dir/second.log")" || return 1
    all_are_answered
}

run_tests "$@"
