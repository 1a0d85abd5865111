#!/bin/bash
# Programs that are run when something happens.
. "$(dirname "$0")/lib.sh"

# make_hook NAME LINES: a program that the user of hooks can run, and that may write to $dir/out
make_hook() {
    mkdir -p "$dir/out"
    chmod 755 "$dir"
    chown jitsu-hooks "$dir/out"
    printf '#!/bin/sh\n%s\n' "$2" > "$dir/$1"
    chmod 755 "$dir/$1"
}
heard() { cat "$dir/out/events" 2>/dev/null; }
has_heard() { heard | grep -q "$1"; }

test_events() {
    make_hook hook "cat >> $dir/out/events; id -un > $dir/out/user; grep -e NoNewPrivs -e CapEff /proc/self/status > $dir/out/caps"
    top_keys="\"hooks\": [{\"on\": [\"up\", \"failed\", \"stopped\", \"all-idle\"], \"exec\": \"$dir/hook\"}],"
    configure "$(service www 20 idle_timeout '"1s"' dns_horizon '"0s"')" "$(service broken 21 machine.kernel "\"$dir/images/none\"")"
    start_jitsud || return 1
    summon www | grep -q '^name www' || fail "no page" || return 1
    wait_until 10 has_heard '"event":"up",.*"service":"www","cause":"dns","client":"10.77.0.2","wake_ms":[0-9]' ||
        fail "not up: $(heard)" || return 1
    [ "$(cat "$dir/out/user")" = jitsu-hooks ] || fail "it was run by $(cat "$dir/out/user")" || return 1
    grep -q 'NoNewPrivs:.*1' "$dir/out/caps" && grep -q 'CapEff:[[:space:]]*0*$' "$dir/out/caps" ||
        fail "it has privileges: $(cat "$dir/out/caps")" || return 1
    wait_until 30 has_heard '"event":"stopped",.*"service":"www".*idle' || fail "not stopped: $(heard)" || return 1
    wait_until 10 has_heard '"event":"all-idle"' || fail "not idle: $(heard)" || return 1
    ask broken > /dev/null
    wait_until 10 has_heard '"event":"failed",.*"service":"broken".*"reason":".*none' || fail "not failed: $(heard)" || return 1
    [ "$(heard | grep -c '"event":"up"')" = 1 ] && [ "$(heard | grep -c '"event":"stopped"')" = 1 ] ||
        fail "too often: $(heard)"
}

test_a_hook_that_hangs_delays_nobody() {
    make_hook hang 'sleep 100'
    top_keys="\"hooks\": [{\"on\": [\"up\", \"stopped\"], \"exec\": \"$dir/hang\", \"timeout\": \"1s\"}],"
    configure "$(service www 20)" "$(service other 21)"
    start_jitsud || return 1
    summon www > /dev/null && summon other > /dev/null || fail "no page" || return 1
    wait_until 10 eval "grep -q 'hang was killed: it took longer than 1000 ms' '$dir/log'" ||
        fail "it was not killed: $(tail -5 "$dir/log")" || return 1
    local hooks; hooks=$(process_pid hooks)
    kill -9 "$hooks"
    wait_until 10 eval '[ -n "$(process_pid hooks)" ] && [ "$(process_pid hooks)" != '"$hooks"' ]' ||
        fail "its process was not started again" || return 1
    top_keys=
    configure "$(service www 20)" "$(service other 21)"
    ctl reload || return 1
    wait_until 10 eval '! alive "$(process_pid hooks)"' || fail "it runs without hooks"
}

# Who can change it would run what he likes as the user of hooks.
test_a_hook_that_others_can_change() {
    make_hook hook "cat >> $dir/out/events"
    configure "$(service www 20)"
    start_jitsud || return 1
    top_keys="\"hooks\": [{\"on\": [\"up\"], \"exec\": \"$dir/hook\"}],"
    configure "$(service www 20)"
    chmod o+w "$dir/hook"
    ctl reload > "$dir/said" 2>&1 && fail "it is taken" && return 1
    grep -q "hooks\[0\].exec: $dir/hook is not run: .*chmod go-w" "$dir/said" || fail "it says: $(cat "$dir/said")" || return 1
    "$BUILD/jitsud" --check-config "$dir/jitsud.json" > "$dir/said" 2>&1 && fail "no mistake" && return 1
    grep -q 'hooks\[0\].exec' "$dir/said" || fail "checked, it says: $(cat "$dir/said")" || return 1
    chmod o-w "$dir/hook"
    ctl reload || return 1
    chmod g+w "$dir/hook"
    summon www > /dev/null || fail "no page" || return 1
    wait_until 10 grep -q "$dir/hook is not run" "$dir/log" || fail "nothing is said of it" || return 1
    [ -z "$(heard)" ] || fail "it was run"
}

run_tests "$@"
