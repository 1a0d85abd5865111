#!/bin/bash
# A signed zone, as a validator sees it: through a whole life of its keys, with TTLs of a second or two.
. "$(dirname "$0")/lib.sh"

zone=jitsu.example

signed_begin() { # jitsud with a service and a zone file, not signed yet
    mkdir -p "$dir/zones"
    cat > "$dir/zones/$zone" <<'END'
$TTL 2
note      TXT "one"
alias     CNAME www
loose     CNAME note
*.lab     TXT "wild"
a.empty   TXT "below"
sub       NS ns.sub
ns.sub    A 10.77.0.99
END
    zone_keys="\"ttl\": \"3s\", \"negative_ttl\": \"1s\", \"file\": \"$dir/zones/$zone\""
    top_keys="\"zone_dirs\": [\"$dir/zones\"],"
    configure "$(service www 20)"
    start_jitsud
}

dnssec() { ctl dnssec "$@"; }
phase() { ctl --json dnssec status "$zone" | sed -n 's/.*"phase": *"\([^"]*\)".*/\1/p'; }
is_phase() { [ "$(phase)" = "$1" ]; }
wait_phase() { wait_until "$patience" is_phase "$1" || fail "it is $(phase), not $1"; }
tags() { ctl --json dnssec ds "$zone" | sed -n 's/.*"key_tag": *\([0-9]*\).*/\1/p'; }

# anchor TAG: what a validator has that trusts this key alone, as the parent's DS would make it
anchor() {
    ctl --json dnssec ds "$zone" | grep "\"key_tag\": *$1[,}]" |
        sed 's/.*"algorithm": *\([0-9]*\).*"ds_sha256": *"\([0-9A-F]*\)".*/\1 \2/' | {
        read -r algorithm digest
        echo "trust-anchors { $zone. static-ds $1 $algorithm 2 \"$digest\"; };" > "$dir/anchor.$1"
    }
    [ -s "$dir/anchor.$1" ]
}

# validate TAG NAME TYPE: what delv says of it
validate() {
    in_client timeout "$patience" delv "@$host_ip" -a "$dir/anchor.$1" +root="$zone" "$2" "$3" 2>&1
}

# valid TAG NAME TYPE KIND [TEXT]: it is of that kind (positive, negative), holds the text, and is validated
valid() {
    local out wanted='^; fully validated'
    out=$(validate "$1" "$2" "$3")
    [ "$4" = positive ] || wanted='^; negative response, fully validated'
    grep -q "$wanted" <<< "$out" && grep -q -- "${5:-}" <<< "$out" && return 0
    fail "with key $1, $2 $3 ($4, $(phase)): $out"
}

# Everything that an answer can be.
all_valid() { # all_valid TAG
    valid "$1" note.$zone TXT positive '"one"' &&
        valid "$1" $zone SOA positive &&
        valid "$1" $zone DNSKEY positive &&
        valid "$1" note.$zone MX negative &&
        valid "$1" empty.$zone A negative &&
        valid "$1" nothing.$zone A negative 'ncache nxdomain' &&
        valid "$1" any.lab.$zone TXT positive '"wild"' &&
        valid "$1" any.lab.$zone A negative &&
        valid "$1" loose.$zone TXT positive '"one"' &&
        valid "$1" sub.$zone DS negative &&
        valid "$1" www.$zone A positive '10.77.0.20' &&
        valid "$1" www.$zone AAAA negative &&
        valid "$1" alias.$zone A positive '10.77.0.20'
}

# while_phase PHASE COMMAND...: it succeeds, or was so slow that the phase was over before it ended
while_phase() {
    "${@:2}" > "$dir/while" && return 0
    ! is_phase "$1" && return 0
    cat "$dir/while"
    return 1
}

signatures() { in_client dig +dnssec +tries=2 +time=5 "@$host_ip" "$1.$zone" "$2" | grep -c RRSIG; }
cds() { in_client dig +short +tries=2 +time=5 "@$host_ip" "$zone" "${1:-CDS}" | cut -d' ' -f1 | sort -n | tr '\n' ' '; }
cds_are() { [ "$(cds)" = "$(printf '%s\n' "$@" | sort -n | tr '\n' ' ')" ]; }
kill_process() { kill -9 "$(process_pid "$1")"; }

# The same key after whatever was killed; and no moment without signatures, or without an answer.
survives() { # survives TAG PROCESS
    kill_process "$2"
    wait_until "$patience" validates_note "$1" || fail "not valid after $2 was killed: $(validate "$1" note.$zone TXT)" || return 1
    wait_until "$patience" is_ready && all_valid "$1"
}
validates_note() { validate "$1" note.$zone TXT | grep -q '^; fully validated'; }

test_the_life_of_a_key() {
    signed_begin || return 1
    command -v delv > /dev/null || skip "delv is not installed"
    local old new
    [ "$(signatures note TXT)" = 0 ] || fail "signed before it was asked for" || return 1
    dnssec enable $zone > "$dir/out" || fail "$(cat "$dir/out")" || return 1
    old=$(tags)
    grep -q "^$zone. IN DS $old 13 2 ($" "$dir/out" || fail "no DS is shown: $(cat "$dir/out")" || return 1
    [ "$(wc -L < "$dir/out")" -le 80 ] || fail "too wide: $(cat "$dir/out")" || return 1
    [ "$(find "$dir/state/keys" -type d -printf '%m %u\n' | sort -u)" = "700 root" ] || fail "open directories" || return 1
    [ "$(find "$dir/state/keys" -type f -printf '%m %u\n' | sort -u)" = "600 root" ] || fail "open files" || return 1
    anchor "$old" && wait_until "$patience" validates_note "$old" || fail "$(validate "$old" note.$zone TXT)" || return 1
    summon www | grep -q '^name www' || fail "no page" || return 1
    all_valid "$old" || return 1
    wait_phase wait-ds || return 1
    wait_until "$patience" cds_are "$old" || fail "CDS are for $(cds)" || return 1
    dnssec ds-seen $zone --ds-ttl 6 > "$dir/out" || return 1
    is_phase signed && all_valid "$old" || return 1

    dnssec roll $zone > "$dir/out" || return 1
    dnssec ds-seen $zone > "$dir/out" 2>&1 && fail "too early, and it is done" && return 1
    grep -q 'it is too early' "$dir/out" || fail "$(phase): $(cat "$dir/out")" || return 1
    new=$(tags | grep -vx "$old")
    anchor "$new" || return 1
    wait_until "$patience" cds_are "$old" "$new" || fail "CDS are for $(cds)" || return 1
    all_valid "$old" && survives "$old" dns || return 1
    wait_phase wait-new-ds || return 1
    all_valid "$old" && all_valid "$new" && survives "$old" launcher || return 1
    dnssec ds-seen $zone > "$dir/out" && is_phase swapped || fail "$(phase): $(cat "$dir/out")" || return 1
    while_phase swapped all_valid "$old" && all_valid "$new" || return 1
    wait_phase signed && wait_until "$patience" cds_are "$new" || fail "CDS are for $(cds)" || return 1
    all_valid "$new" || return 1
    valid "$old" note.$zone TXT positive > /dev/null && fail "the old key is still there" && return 1
    dnssec disable $zone > "$dir/out" 2>&1 && fail "unsigned although the DS may be there" && return 1
    grep -q 'yes-ds-is-gone' "$dir/out" && all_valid "$new" || return 1
    dnssec disable $zone --yes-ds-is-gone --ds-ttl 2 > "$dir/out" || fail "$(cat "$dir/out")" || return 1
    while_phase withdrawn validates_note "$new" || fail "unsigned at once" || return 1
    wait_phase off && wait_until "$patience" unsigned || fail "still signed" || return 1
    [ -z "$(find "$dir/state/keys" -name '*.private')" ] || fail "keys are left"
}
unsigned() { [ "$(signatures note TXT)" = 0 ] && [ "$(in_client dig +short "@$host_ip" note.$zone TXT)" = '"one"' ]; }

# Names that come to be by being asked for: a validator is convinced of those that are there, and of what others lack.
test_instances_of_a_template() {
    command -v delv > /dev/null || skip "delv is not installed"
    local key pools='"10.77.0.150-10.77.0.159/24"'
    configure "$(service vm 0 dns '["*.vm.jitsu.example"]' ip '["auto"]')"
    start_jitsud && dnssec enable $zone > "$dir/out" || return 1
    key=$(tags)
    anchor "$key" && wait_until "$patience" validates_soa "$key" || fail "$(validate "$key" $zone SOA)" || return 1
    valid "$key" none.vm.$zone TXT negative && valid "$key" none.vm.$zone AAAA negative &&
        valid "$key" a.vm.$zone A positive '10.77.0.150' && valid "$key" a.vm.$zone AAAA negative &&
        valid "$key" b.vm.$zone A positive '10.77.0.151' && valid "$key" a.vm.$zone A positive '10.77.0.150' &&
        valid "$key" x.a.vm.$zone A negative 'ncache nxdomain'
}
validates_soa() { validate "$1" $zone SOA | grep -q '^; fully validated'; }

test_what_changes_is_signed() {
    signed_begin || return 1
    command -v delv > /dev/null || skip "delv is not installed"
    local key serial
    dnssec enable $zone --algorithm ed25519 > "$dir/out" || return 1
    key=$(tags)
    anchor "$key" && wait_until "$patience" validates_note "$key" || fail "$(validate "$key" note.$zone TXT)" || return 1
    serial=$(in_client dig +short "@$host_ip" $zone SOA | cut -d' ' -f3)
    configure "$(service www 20)" "$(service new 21)"
    echo 'note TXT "two"' > "$dir/zones/$zone"
    ctl reload || return 1
    valid "$key" note.$zone TXT positive '"two"' || return 1
    valid "$key" new.$zone A positive '10.77.0.21' && is_state new up || fail "new is $(state_of new)" || return 1
    [ "$(in_client dig +short "@$host_ip" $zone SOA | cut -d' ' -f3)" -gt "$serial" ] || fail "the serial is $serial still" || return 1
    stop_jitsud
    start_jitsud || return 1
    [ "$(tags)" = "$key" ] && valid "$key" note.$zone TXT positive '"two"' || fail "another key after a restart: $(tags)" || return 1
    dnssec enable no.such.zone > "$dir/out" 2>&1 && fail "any zone will do" && return 1
    grep -q 'there is no zone "no.such.zone"' "$dir/out" || fail "$(cat "$dir/out")" || return 1
    dnssec roll > "$dir/out" 2>&1
    [ $? = 2 ] || fail "not exit 2: $(cat "$dir/out")" || return 1
    [ "$(dnssec status | wc -L)" -le 80 ] || fail "too wide: $(dnssec status)" || return 1

    # files that others can read are not used: the zone is served all the same
    chmod 644 "$dir/state/keys/$zone/state"
    kill_process launcher
    wait_until "$patience" is_ready || return 1
    wait_until "$patience" unsigned_two || fail "no answer without the keys" || return 1
    dnssec status | tr -s ' \n' ' ' | grep -q 'can be used by others (mode 0644)' || fail "not told: $(dnssec status)" || return 1
    chmod 600 "$dir/state/keys/$zone/state"
    ctl reload || return 1
    wait_until "$patience" validates_note "$key" || fail "not signed again: $(dnssec status)"
}
unsigned_two() { [ "$(in_client dig +short "@$host_ip" note.$zone TXT)" = '"two"' ]; }

run_tests "$@"
