#!/bin/bash
# NSD and Knot as secondaries of a whole jitsud: they follow what a reload changes, all of it signed.
. "$(dirname "$0")/lib.sh"

secret=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=
key=transfer.jitsu.example
nsd_port=5301
knot_port=5302

need_secondaries() {
    [ -x /usr/sbin/nsd ] && [ -x /usr/sbin/knotd ] || skip "nsd or knot is not installed"
}

write_secret() { # write_secret MODE
    rm -f "$dir/secret"
    echo "$secret" > "$dir/secret"
    chmod "$1" "$dir/secret"
}

# transfers_configure SERVICE...: with the key and both secondaries
transfers_configure() {
    zone_keys="\"file\": \"$dir/zones/jitsu.example\", \"secondaries\": [
        {\"address\": \"$client_ip\", \"port\": $nsd_port, \"key\": \"$key\"},
        {\"address\": \"$client_ip\", \"port\": $knot_port, \"key\": \"$key\"}]"
    top_keys="\"zone_dirs\": [\"$dir/zones\"], \"tsig_keys\": [{\"name\": \"$key\", \"secret_file\": \"$dir/secret\"}],"
    configure "$@"
}

transfers_begin() {
    mkdir -p "$dir/zones"
    { seq 1 1500 | sed 's/.*/n& TXT "text of name &"/'; echo 'note TXT "one"'; } > "$dir/zones/jitsu.example"
    write_secret 600
    transfers_configure "$(service www 20)"
    start_jitsud
}

start_nsd() {
    mkdir -p "$dir/nsd"
    cat > "$dir/nsd/conf" <<END_CONF
server:
  ip-address: $client_ip@$nsd_port
  server-count: 1
  database: ""
  username: ""
  zonesdir: "$dir/nsd"
  pidfile: "$dir/nsd/pid"
  xfrdfile: "$dir/nsd/xfrd"
  zonelistfile: "$dir/nsd/list"
  xfrdir: "$dir/nsd"
  logfile: "$dir/nsd/log"
  verbosity: 3
remote-control:
  control-enable: no
key:
  name: $key
  algorithm: hmac-sha256
  secret: "$secret"
zone:
  name: jitsu.example
  zonefile: zone
  allow-notify: $host_ip $key
  request-xfr: $host_ip@53 $key
  provide-xfr: $client_ip NOKEY
END_CONF
    nsenter --net="/run/netns/$client" -- nsd -d -c "$dir/nsd/conf" > "$dir/nsd/out" 2>&1 &
    extra_pids+=" $!"
}

start_knot() {
    mkdir -p "$dir/knot"
    cat > "$dir/knot/conf" <<END_CONF
server:
  listen: $client_ip@$knot_port
  rundir: $dir/knot
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
database:
  storage: $dir/knot
  journal-db-max-size: 64M
log:
  - target: $dir/knot/log
    any: info
key:
  - id: $key
    algorithm: hmac-sha256
    secret: $secret
remote:
  - id: primary
    address: $host_ip
    key: $key
acl:
  - id: told
    address: $host_ip
    key: $key
    action: notify
  - id: ask
    address: $client_ip
    action: transfer
zone:
  - domain: jitsu.example
    storage: $dir/knot
    master: primary
    acl: [told, ask]
    zonefile-sync: -1
END_CONF
    nsenter --net="/run/netns/$client" -- knotd -c "$dir/knot/conf" > "$dir/knot/out" 2>&1 &
    extra_pids+=" $!"
}

soa_at() { in_client dig +short +tries=1 +time=1 "@$1" -p "$2" jitsu.example SOA | cut -d' ' -f3; }
serial() { soa_at $host_ip 53; }
has_serial() { [ "$(soa_at $client_ip "$1")" = "$2" ]; }

# follow SERIAL: both have it; the milliseconds it took are told
follow() {
    local begin nsd knot
    begin=$(now_ms)
    wait_until "$patience" has_serial $knot_port "$1" || { tail "$dir/knot/log" >&2; fail "Knot has $(soa_at $client_ip $knot_port), not $1"; return 1; }
    knot=$(($(now_ms) - begin))
    wait_until "$patience" has_serial $nsd_port "$1" || { tail "$dir/nsd/log" >&2; fail "NSD has $(soa_at $client_ip $nsd_port), not $1"; return 1; }
    nsd=$(($(now_ms) - begin))
    say "serial $1: Knot after $knot ms, NSD after $nsd ms"
}

whole() { # whole ADDRESS PORT [DIG-OPTION...]: all records, in order
    in_client dig +tcp +noall +answer +tries=1 +time=10 "@$1" -p "$2" "${@:3}" jitsu.example AXFR |
        tr -s ' \t' ' ' | tr A-Z a-z | sort
}

signed() { whole $host_ip 53 -y "hmac-sha256:$key:$secret"; }

same_zone() {
    signed > "$dir/ours"
    [ "$(grep -c ' in txt ' "$dir/ours")" -ge 1400 ] || fail "we give no whole zone" || return 1
    whole $client_ip $nsd_port > "$dir/nsds"
    whole $client_ip $knot_port > "$dir/knots"
    diff "$dir/ours" "$dir/nsds" >&2 || fail "NSD has another zone" || return 1
    diff "$dir/ours" "$dir/knots" >&2 || fail "Knot has another zone"
}

test_secondaries_follow_a_reload() {
    need_secondaries
    transfers_begin || return 1
    start_nsd
    start_knot
    follow "$(serial)" || return 1
    same_zone || return 1
    local before
    before=$(serial)
    sed -i 's/"one"/"two"/; s/^n7 .*/n7 A 192.0.2.7/; /^n8 /d' "$dir/zones/jitsu.example"
    transfers_configure "$(service www 20)" "$(service new 21)"
    ctl reload || fail "reload" || return 1
    [ "$(serial)" -gt "$before" ] || fail "the serial did not rise" || return 1
    follow "$(serial)" || return 1
    same_zone || return 1
    grep -q '^new.jitsu.example. .* in a 10.77.0.21' "$dir/nsds" || fail "the new service is not there" || return 1
    grep -q 'IXFR, incoming.*finished' "$dir/knot/log" || fail "Knot got no IXFR" || return 1
    [ "$(grep -c 'AXFR, incoming.*finished' "$dir/knot/log")" = 1 ] || fail "Knot got it as a whole again" || return 1
    [ "$(sed -n "s/.*received update to serial $(serial) .* of \([0-9]*\) bytes in .*/\1/p" "$dir/nsd/log")" -lt 8192 ] ||
        fail "NSD got it as a whole again" || return 1
    grep -q "zone jitsu.example: what changed from serial $before" "$dir/log" || fail "our log does not say so" || return 1
    kill -9 "$(process_pid dns)" # another one, which remembers nothing
    wait_until "$patience" serial || return 1
    transfers_configure "$(service www 20)"
    ctl reload || return 1
    follow "$(serial)" || return 1
    same_zone || return 1
    ! grep -q '^new.jitsu.example. ' "$dir/nsds" || fail "the service that went is still there"
}

refused() { ! whole $host_ip 53 "$@" | grep -q ' soa '; }

test_only_who_may_gets_the_zone() {
    transfers_begin || return 1
    signed | grep -q ' soa ' || fail "refused to a secondary" || return 1
    refused || fail "given without a signature" || return 1
    refused -y "hmac-sha256:$key:AAAAAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" || fail "given to a forger" || return 1
    refused -y "hmac-sha256:other.jitsu.example:$secret" || fail "given to another key" || return 1
    refused -b 10.77.0.100 -y "hmac-sha256:$key:$secret" || fail "given to another address" || return 1
    in_client dig "@$host_ip" -y "hmac-sha256:$key:$secret" note.jitsu.example TXT | grep -q 'Couldn.t verify' &&
        fail "an ordinary answer is badly signed" && return 1
    write_secret 644
    ctl reload > "$dir/out" 2>&1 && fail "a secret that all can read is taken" && return 1
    grep -q "$dir/secret can be read by others.*TSIG key $key is not used" "$dir/out" || fail "told: $(cat "$dir/out")" || return 1
    refused -y "hmac-sha256:$key:$secret" || fail "given by a key that is not used" || return 1
    write_secret 600
    ctl reload || return 1
    signed | grep -q ' soa ' || fail "refused after it was mended" || return 1
    zone_keys="\"transfer_allow\": [\"10.77.0.100\"]"
    configure "$(service www 20)"
    ctl reload || return 1
    refused || fail "given to somebody else" || return 1
    whole $host_ip 53 -b 10.77.0.100 | grep -q ' soa ' || fail "refused to whom it is allowed" || return 1
    ! grep -rq "$secret" "$dir/log" "$dir/out" || fail "the secret is in the log"
}

run_tests "$@"
