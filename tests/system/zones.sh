#!/bin/bash
# A zone file under the services: its records are served, reloaded and kept; its mistakes are told.
. "$(dirname "$0")/lib.sh"

zone_begin() { # zone_begin: jitsud with a service and the zone file that stands on stdin
    mkdir -p "$dir/zones"
    cat > "$dir/zones/jitsu.example"
    zone_keys="\"file\": \"$dir/zones/jitsu.example\""
    top_keys="\"zone_dirs\": [\"$dir/zones\"],"
    configure "$(service www 20)"
    start_jitsud
}

# All of the answer's records of a type: "NAME TTL IN TYPE DATA".
records() { in_client dig +noall +answer +tries=2 +time=5 "@$host_ip" "$1.jitsu.example" "$2"; }
serial() { in_client dig +short +tries=2 +time=5 "@$host_ip" jitsu.example SOA | cut -d' ' -f3; }
text_is() { [ "$(in_client dig +short +tries=2 +time=5 "@$host_ip" "$1.jitsu.example" TXT)" = "\"$2\"" ]; }

test_static_records_and_an_alias_that_wakes() {
    zone_begin <<'END' || return 1
alias   CNAME www
*.lab   TXT "wild"
mail    MX 10 elsewhere.example.
sub     NS ns.sub
ns.sub  A 10.77.0.99
END
    text_is any.lab wild || fail "no wildcard" || return 1
    [ "$(ask_status nothing)" = NXDOMAIN ] || fail "a name too many" || return 1
    records mail MX | grep -q 'MX.*10 elsewhere.example.' || fail "no MX" || return 1
    in_client dig "@$host_ip" x.sub.jitsu.example | grep -q 'ns.sub.jitsu.example.*A.*10.77.0.99' ||
        fail "no referral with glue" || return 1
    is_state www off || fail "something has woken it" || return 1
    records alias A | grep -q 'A.*10.77.0.20' || fail "the alias leads nowhere" || return 1
    is_state www up || fail "it is $(state_of www) after its alias was asked for"
}

test_reload() {
    zone_begin <<< 'note TXT "one"' || return 1
    local before
    before=$(serial)
    text_is note one || fail "not served" || return 1
    echo 'note TXT "two"' > "$dir/zones/jitsu.example"
    text_is note one || fail "read before a reload" || return 1
    ctl reload || fail "a good file is refused" || return 1
    text_is note two || fail "reload has returned, and the old one is served" || return 1
    [ "$(serial)" -gt "$before" ] || fail "serial $before became $(serial)" || return 1
    before=$(serial)
    printf '@ SOA a b %s 1 1 1 1\nnote TXT "three"\n' $((before + 1000)) > "$dir/zones/jitsu.example"
    ctl reload || return 1
    [ "$(serial)" = $((before + 1000)) ] || fail "the file's serial does not count: $(serial)"
}

test_a_bad_file_leaves_the_old_zone() {
    zone_begin <<< 'note TXT "good"' || return 1
    local before
    before=$(serial)
    printf 'note TXT "bad"\n\nwww A 1.2.3.4\n' > "$dir/zones/jitsu.example"
    ctl reload > "$dir/out" 2>&1 && fail "a bad file is taken" && return 1
    grep -q "$dir/zones/jitsu.example, line 3: .*service \"www\"" "$dir/out" || fail "told: $(cat "$dir/out")" || return 1
    text_is note good || fail "the old zone is gone" || return 1
    kill -9 "$(process_pid dns)"
    wait_until 5 text_is note good || fail "gone with dns" || return 1
    kill -9 "$(process_pid launcher)"
    sleep 0.5
    wait_until 5 text_is note good || fail "gone with the launcher" || return 1
    stop_jitsud
    start_jitsud || return 1
    text_is note good || fail "gone after a restart of all" || return 1
    [ "$(serial)" -gt "$before" ] || fail "serial $before became $(serial)" || return 1
    summon www | grep -q '^name www' || fail "no page"
}

# As a start would, though nothing is started: each file's first mistake.
test_check_config_reads_the_files() {
    local zones=$dir/zones good=$dir/zones/jitsu.example bad=$dir/zones/b.example
    mkdir -p "$zones"
    echo 'note TXT "good"' > "$good"
    zone_keys="\"file\": \"$good\"}, {\"name\": \"b.example\", \"ns\": [\"ns1.b.example\"], \"file\": \"$bad\""
    top_keys="\"zone_dirs\": [\"$zones\"],"
    configure "$(service www 20)"
    check() { "$BUILD/jitsud" --check-config "$dir/jitsud.json" > "$dir/out" 2>&1; }
    check && fail "a file that is not there is good" && return 1
    [ "$(cat "$dir/out")" = "cannot read $bad: No such file or directory" ] ||
        fail "told: $(cat "$dir/out")" || return 1
    printf 'ns1 A 192.0.2.1\nx A nonsense\ny A nonsense\n' > "$bad"
    check && fail "a bad file is good" && return 1
    grep -q "^$bad, line 2: " "$dir/out" || fail "told: $(cat "$dir/out")" || return 1
    [ "$(wc -l < "$dir/out")" = 1 ] || fail "told: $(cat "$dir/out")" || return 1
    printf 'note TXT "good"\n\nwww A 1.2.3.4\n' > "$good" # a service's name
    check && fail "two bad files are good" && return 1
    grep -q "^$good, line 3: .*service \"www\"" "$dir/out" || fail "told: $(cat "$dir/out")" || return 1
    [ "$(wc -l < "$dir/out")" = 2 ] || fail "told: $(cat "$dir/out")" || return 1
    echo 'note TXT "good"' > "$good"
    echo 'ns1 A 192.0.2.1' > "$bad"
    check || fail "good files are bad: $(cat "$dir/out")"
}

# A service that takes a name of the zone costs that one record, and only until the file is mended.
test_a_new_service_at_a_static_name() {
    zone_begin <<< 'note TXT "kept"
new A 10.77.0.98' || return 1
    text_is note kept || return 1
    configure "$(service www 20)" "$(service new 21)"
    ctl reload > "$dir/out" 2>&1 && fail "nobody is told" && return 1
    grep -q 'line 2: .*service "new"' "$dir/out" || fail "told: $(cat "$dir/out")" || return 1
    text_is note kept || fail "the whole zone is gone" || return 1
    summon new | grep -q '^name new' || fail "the service does not work"
}

run_tests "$@"
