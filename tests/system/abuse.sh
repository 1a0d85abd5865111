#!/bin/bash
# Queries that nobody stands behind: forged by the thousand, or asked ahead by a resolver.  They wake no more
# than they may, and those who do stand behind theirs are served as ever.
. "$(dirname "$0")/lib.sh"

woken() { # woken [PREFIX]: how often, all of them together
    ctl --json list | grep "\"name\": *\"${1:-}" | sed -n 's/.*"wakes": *\([0-9]*\).*/\1/p' |
        awk '{ n += $1 } END { print n + 0 }'
}
median() { sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

# 500 services s1 .. s500 that sleep, in a network of their own; those with an even number are answered at once.
# The forgers' networks are behind the client.
five_hundred() { # five_hundred SERVICE-JSON...: and these
    local n at_once all=("$@")
    ip -n "$host" addr add 10.78.0.1/16 dev br0
    ip -n "$host" route add 20.0.0.0/8 via "$client_ip"
    for n in $(seq 500); do
        at_once='"ready"'
        [ $((n % 2)) = 1 ] || at_once='"at-once"'
        all+=("$(service "s$n" 0 ip "[\"10.78.$((1 + n / 200)).$((1 + n % 200))/16\"]" answer "$at_once")")
    done
    configure "${all[@]}"
    sed -i 's/{"name": "br0"/{"name": "br0", "probe_ip": "10.78.0.1"/' "$dir/jitsud.json"
    start_jitsud
}

forge() { # forge COUNT RATE: queries for all of them, from 10,000 networks
    in_client "$packets" queries eth0 "$client_ip" "$host_ip" 20.0.0.1 10000 jitsu.example 500 "$1" "$2"
}

# How long a client that is verified (TCP) waits for a service that sleeps, in ms; nothing when it has no answer.
wake_ms() {
    in_client dig +tcp +tries=1 +time="$patience" "@$host_ip" "$1.jitsu.example" A > "$dir/dig" 2>&1
    grep -q 'ANSWER: 1' "$dir/dig" && sed -n 's/.*Query time: \([0-9]*\) msec/\1/p' "$dir/dig"
}

# One quiet wake and one during a flood, each of a service that nobody has woken yet.
compare() { # compare ROUND COUNT RATE SECONDS: so long after the flood began
    wake_ms "quiet$1" >> "$dir/quiet" || fail "no answer while it is quiet: $(cat "$dir/dig")" || return 1
    ctl stop "quiet$1" > "$dir/out" || return 1
    forge "$2" "$3" &
    local forging=$!
    sleep "$4"
    wake_ms "flood$1" >> "$dir/flood" || fail "no answer during the flood: $(cat "$dir/dig")" || return 1
    alive "$forging" || echo "round $1: the flood was over before the answer came" >> "$dir/figures"
    wait "$forging" || fail "the flood did not go through" || return 1
    ctl stop "flood$1" > "$dir/out"
}

# In the long run more than 100,000 queries, and the mark for a machine that does nothing else (SLOWNESS=3: for
# one that does).
test_forged_queries() {
    local round verified=() count=6000 rate=4000 most=3 more=1000 began=$SECONDS budget
    [ -z "${LONG:-}" ] || { count=5000; rate=2000; most=1.2; more=0; }
    limits='"max_starting": 2, "wakes_per_source": "10000/min", "wakes_unverified": "12/min"'
    for round in $(rounds 3 20); do
        verified+=("$(service "quiet$round" $((10 + round)))" "$(service "flood$round" $((40 + round)))")
    done
    five_hundred "${verified[@]}" || return 1
    began=$SECONDS
    wake_ms quiet1 > /dev/null && ctl stop quiet1 > "$dir/out" || fail "no answer: $(cat "$dir/dig")" || return 1
    for round in $(rounds 3 20); do compare "$round" $count $rate 0.3 || return 1; done
    budget=$((12 + (SECONDS - began + 1) * 12 / 60 + 1))
    cat >> "$dir/figures" <<END
verified clients waited, in ms: $(xargs < "$dir/quiet") while it was quiet, $(xargs < "$dir/flood") in the flood
medians $(median < "$dir/quiet") and $(median < "$dir/flood"); forged queries woke $(woken s), and may wake $budget
END
    [ -z "${FIGURES:-}" ] || cat "$dir/figures" >> "$FIGURES"
    [ "$(woken s)" -ge 6 ] && [ "$(woken s)" -le $budget ] || fail "forged queries woke $(woken s), not 6 .. $budget" || return 1
    awk -v q="$(median < "$dir/quiet")" -v f="$(median < "$dir/flood")" -v m=$most -v s="${SLOWNESS:-1}" -v a=$more \
        'BEGIN { exit !(f <= q * m * s + a) }' ||
        fail "verified clients waited $(median < "$dir/flood") ms, and $(median < "$dir/quiet") ms while it was quiet" || return 1
    [ "$(our_vms | wc -l)" -le $budget ] || fail "$(our_vms | wc -l) VMs run" || return 1
    [ "$(wc -l < "$dir/log")" -lt 400 ] || fail "the log has $(wc -l < "$dir/log") lines" || return 1
    ctl --json trace -n 500 | grep -q quiet1 || fail "the flood drove the traces out"
}

# Without clients being held: who has shown nothing is told to.
test_only_verified_clients_wake() {
    configure "$(service www 20 wake_dns '"verified"')" "$(service web 21 wake_dns '"verified"')"
    start_jitsud || return 1
    [ -z "$(ask www A +nocookie +ignore)" ] && [ "$(woken)" = 0 ] || fail "it was woken, or waited for" || return 1
    in_client dig +nocookie +ignore +tries=1 "@$host_ip" www.jitsu.example A | grep -q '^;; flags:.* tc' ||
        fail "nobody is told to ask over TCP" || return 1
    [ "$(ask www A +nocookie)" = 10.77.0.20 ] || fail "asking again over TCP does not wake it" || return 1
    [ "$(ask web A +cookie)" = 10.77.0.21 ] || fail "asking again with the cookie does not wake it" || return 1
    [ "$(woken)" = 2 ] || fail "woken $(woken) times"
}

# Where they are: everybody has the address at once, and comes.
test_held_clients_wake_by_coming() {
    local hold=park page
    configure "$(service www 20 wake_dns '"verified"')" "$(service web 21 wake_dns '"off"')"
    start_jitsud && wait_held www web || return 1
    [ "$(ask www A +nocookie +ignore)" = 10.77.0.20 ] && [ "$(ask web A +tcp)" = 10.77.0.21 ] ||
        fail "no address" || return 1
    sleep 0.3
    [ "$(woken)" = 0 ] || fail "a query woke it" || return 1
    page=$(page 10.77.0.20) && grep -q '^name www' <<< "$page" || fail "www is not woken by who comes" || return 1
    page=$(page 10.77.0.21) && grep -q '^name web' <<< "$page" || fail "web is not woken by who comes"
}

# A resolver that asks for nobody is answered, and wakes no more; its clients do.
test_a_resolver_that_asks_ahead() {
    local hold=park n
    limits='"max_starting": 4, "wakes_per_source": "10000/min", "mute_after": 2'
    configure "$(service www 20 dns_grace '"500ms"')"
    start_jitsud && wait_held www || return 1
    for n in 1 2; do
        [ "$(ask www A +tcp)" = 10.77.0.20 ] || fail "no address" || return 1
        wait_until 10 [ "$(woken)" = $n ] || fail "query $n does not wake it: $(ctl why www)" || return 1
        wait_state www up && wait_state www off || fail "it does not stop again: $(ctl why www)" || return 1
    done
    ctl why www | grep -q '10.77.0.0/24: nobody came after 2 wakes' || fail "why does not tell: $(ctl why www)" || return 1
    [ "$(ask www A +tcp)" = 10.77.0.20 ] || fail "who is muted has no answer" || return 1
    sleep 0.3
    [ "$(woken)" = 2 ] || fail "who is muted woke it" || return 1
    page 10.77.0.20 | grep -q '^name www' || fail "a client does not wake it"
}

# What is said instead of SERVFAIL; and for how long it may be remembered.
test_another_address_meanwhile() {
    configure "$(service www 20 fallback_ip '["10.77.0.99"]' ttl '"60s"' ttl_down '"3s"' start_timeout '"2s"' \
        machine.cmdline "$(guest mute=1)")" \
        "$(service web 21 answer '"at-once"' ttl '"60s"' ttl_down '"0s"')"
    start_jitsud || return 1
    local answer; answer=$(ask www A +noshort +noall +answer)
    grep -Eq '[[:space:]]3[[:space:]]+IN[[:space:]]+A[[:space:]]+10.77.0.99' <<< "$answer" || fail "not the fallback: $answer" || return 1
    ask web A +noshort +noall +answer | grep -Eq '[[:space:]]0[[:space:]]+IN' || fail "not ttl_down" || return 1
    wait_state web up || return 1
    ask web A +noshort +noall +answer | grep -Eq '[[:space:]]60[[:space:]]+IN' || fail "not ttl"
}

run_tests "$@"
