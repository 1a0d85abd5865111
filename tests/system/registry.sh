#!/bin/bash
# Services that come by command: served at once, kept whatever is killed, changed and undone.
. "$(dirname "$0")/lib.sh"

# add_www NAME LAST-OCTET [OPTION...]: the unikernel, by a command as an operator types it
add_www() {
    local name=$1 octet=$2
    shift 2
    ctl add "$name" --dns "$name.jitsu.example" --ip "10.77.0.$octet/24" --kernel "$dir/images/www.elf" --memory 16MiB \
        --cmdline 'ip={ip}/{prefix} gw={gw} name={name} boot={boot}' --ports 80 --ttl 1s --idle-timeout 300s \
        --dns-horizon 2s --hold "$hold" "$@"
}

kill_launcher() {
    local pid; pid=$(process_pid launcher)
    kill -9 "$pid"
    wait_until 10 eval '[ "$(process_pid launcher)" != "'"$pid"'" ] && is_ready'
}

test_added_woken_changed_removed() {
    configure "$(service file 20)"
    start_jitsud || return 1
    [ "$(ask_status www)" = NXDOMAIN ] || fail "it is there already" || return 1
    add_www www 21 > "$dir/out" || fail "not added" || return 1
    grep -q '^revision 1$' "$dir/out" || fail "no revision: $(cat "$dir/out")" || return 1
    summon www | grep -q '^name www' || fail "no page" || return 1
    [ "$(field origin www)" = registry ] && [ "$(field origin file)" = file ] || fail "wrong origins" || return 1
    local qemu; qemu=$(qemu_of www)
    ctl set www ttl=7s idle-timeout=2s > /dev/null || fail "not set" || return 1
    in_client dig +tries=1 +time=5 @$host_ip www.jitsu.example A | grep -q 'example.[[:space:]]*7[[:space:]]' ||
        fail "the new TTL is not used" || return 1
    [ "$(qemu_of www)" = "$qemu" ] || fail "the running VM was touched" || return 1
    ctl rename www other 2> "$dir/out" && fail "renamed while its VM runs" && return 1
    grep -q 'jitsuctl stop www' "$dir/out" || fail "no cure: $(cat "$dir/out")" || return 1
    wait_state www off 30 || fail "the new idle_timeout is not used: $(ctl why www)" || return 1
    ctl rename www other > /dev/null || fail "not renamed" || return 1
    ctl set other dns=other.jitsu.example > /dev/null || fail "not set" || return 1
    summon other | grep -q '^name other' || fail "no page of the renamed one" || return 1
    ctl remove other > /dev/null || fail "not removed" || return 1
    [ "$(ask_status other)" = NXDOMAIN ] || fail "the removed one is still in DNS" || return 1
    wait_until 30 eval '[ -z "$(qemu_of other)" ]' || fail "the removed one's VM is never stopped" || return 1
    [ "$(ctl history 2>&1 | wc -l)" = 5 ] || fail "history: $(ctl history)" || return 1
    ctl history nosuch 2>&1 | grep -q '^jitsuctl: no change yet of nosuch$' || fail "$(ctl history nosuch 2>&1)" ||
        return 1
    ctl diff 2 | grep -q 'ttl: "1s" -> "7s"' || fail "diff: $(ctl diff 2)"
}

test_nothing_acknowledged_is_lost() {
    configure "$(service file 20)"
    start_jitsud || return 1
    local i
    for i in 1 2 3; do
        add_www "s$i" $((30 + i)) > /dev/null || fail "not added: s$i" || return 1
        kill_launcher || fail "no new launcher" || return 1
        ask "s$i" | grep -q "10.77.0.3$i" || fail "s$i is lost" || return 1
    done
    add_www s4 34 > /dev/null || return 1
    kill -9 "$jitsud_pid"
    wait "$jitsud_pid" 2> /dev/null
    start_jitsud || return 1
    # (what its predecessor left behind may answer for a moment)
    wait_until "$patience" eval '[ "$(ctl --json list | grep -c "\"origin\":\"registry\"")" = 4 ] && is_ready' ||
        fail "lost: $(ctl list)" || return 1
    summon s4 | grep -q '^name s4' || fail "s4 is not served"
}

test_what_is_bad_changes_nothing() {
    configure "$(service file 20)"
    start_jitsud || return 1
    add_www www 21 > /dev/null || return 1
    # bad WORDS-IN-THE-SENTENCE COMMAND...
    bad() {
        local words=$1 status
        shift
        "$@" > "$dir/out" 2>&1
        status=$?
        { [ $status = 1 ] || [ $status = 2 ]; } && grep -q -- "$words" "$dir/out" ||
            fail "$*: status $status: $(cat "$dir/out")"
    }
    bad 'ttl: expected' ctl set www ttl=abc || return 1
    bad 'did you mean "ttl"' ctl set www ttll=1s || return 1
    bad 'machine.kernel: .* below none of image_dirs' ctl set www kernel=/etc/passwd || return 1
    bad 'ip\[0\]: .* used already by service "file", in the configuration file' ctl set www ip=10.77.0.20/24 || return 1
    bad 'there is a service "www" already' add_www www 22 || return 1
    bad 'there is a service "file" already' add_www file 22 || return 1
    bad 'is in the configuration file, line' ctl set file ttl=3s || return 1
    bad 'is in the configuration file, line' ctl remove file || return 1
    bad 'there is no service "nobody"' ctl set nobody ttl=3s || return 1
    bad 'there is no revision 99' ctl rollback 99 || return 1
    bad 'there is no option --memroy; did you mean --memory' ctl add x --memroy 5 || return 1
    bad 'name: ' ctl rename www 'no good' || bad 'expected' ctl rename www 'no good' || return 1
    bad 'expected "up", "down", or a time' ctl lease www soon || return 1
    bad 'takes no --exact' ctl remove www --exact || return 1
    [ "$(ctl history | wc -l)" = 1 ] || fail "something changed: $(ctl history)" || return 1
    ctl set www ttl=3s --dry-run > "$dir/out" && grep -q 'nothing was changed' "$dir/out" &&
        grep -q '^www ttl: "1s" -> "3s"' "$dir/out" || fail "no dry run: $(cat "$dir/out")" || return 1
    [ "$(ctl history | wc -l)" = 1 ] || fail "a dry run changed something" || return 1
    ctl set www ttl=1s | grep -q 'nothing changes' || fail "the same is a change"
    # a name in both: the file is refused
    configure "$(service file 20)" "$(service www 25)"
    bad 'in the registry: service "www": name: there is a service "www" already' ctl reload || return 1
    ask www | grep -q 10.77.0.21 || fail "it is not as it was"
}

test_orders() {
    configure "$(service file 20 idle_timeout '"1s"' dns_horizon '"0s"')"
    start_jitsud || return 1
    ctl pin file up > /dev/null || return 1
    wait_state file up || fail "a pin does not start it" || return 1
    sleep 3
    is_state file up || fail "a pin does not keep it up: $(ctl why file)" || return 1
    kill_launcher || return 1
    sleep 2
    is_state file up || fail "a pin is forgotten: $(ctl why file)" || return 1
    ctl pin file down > /dev/null || return 1
    wait_state file off || fail "a pin does not stop it" || return 1
    [ "$(ask_status file)" = SERVFAIL ] || fail "it is woken all the same" || return 1
    ctl start file 2> "$dir/out" && fail "started by hand" && return 1
    grep -q 'jitsuctl release file' "$dir/out" || fail "no cure: $(cat "$dir/out")" || return 1
    ctl release file > /dev/null && ctl lease file 6s > /dev/null || return 1
    wait_state file up || fail "a lease does not start it" || return 1
    wait_state file off 30 || fail "a lease never ends: $(ctl why file)" || return 1
    add_www www 21 > /dev/null && ctl disable www > /dev/null || return 1
    [ "$(ask_status www)" = NXDOMAIN ] || fail "a disabled service is in DNS" || return 1
    ctl start www 2> /dev/null && fail "a disabled service is started" && return 1
    ctl enable www > /dev/null || return 1
    ask www | grep -q 10.77.0.21 || fail "an enabled service is not served"
}

test_export_rollback_import() {
    configure "$(service file 20)"
    start_jitsud || return 1
    add_www a 21 > /dev/null && add_www b 22 > /dev/null || return 1
    ctl export > "$dir/one" || return 1
    ctl set a ttl=9s > /dev/null && ctl remove b > /dev/null && add_www c 23 > /dev/null || return 1
    ctl rollback 2 > /dev/null || fail "no way back" || return 1
    ctl export > "$dir/two" || return 1
    cmp "$dir/one" "$dir/two" || fail "not as it was" || return 1
    ask b | grep -q 10.77.0.22 && [ "$(ask_status c)" = NXDOMAIN ] || fail "DNS goes by something else" || return 1
    add_www c 23 > /dev/null || return 1
    sed 's/10.77.0.22/10.77.0.20/' "$dir/one" > "$dir/bad"
    ctl import "$dir/bad" --exact 2> "$dir/out" && fail "a bad import is taken" && return 1
    grep -q 'service "b": ip\[0\]' "$dir/out" || fail "no place: $(cat "$dir/out")" || return 1
    ask c | grep -q 10.77.0.23 || fail "half an import" || return 1
    ctl import "$dir/one" > /dev/null || return 1
    ask c | grep -q 10.77.0.23 || fail "an import removes" || return 1
    ctl import --exact "$dir/one" > /dev/null || return 1
    ctl export | cmp - "$dir/one" || fail "an exact import is not exact"
}

# The disk of the registry is full, or it is damaged: what runs goes on.
test_a_registry_that_fails() {
    configure "$(service file 20)"
    start_jitsud || return 1
    add_www www 21 > /dev/null && summon www > /dev/null || return 1
    python3 - "$dir/state/registry.db" "$dir/locked" << 'END' &
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
db.execute("BEGIN IMMEDIATE")
open(sys.argv[2], "w")
time.sleep(300)
END
    local holder=$!
    wait_until "$patience" test -e "$dir/locked" || fail "not locked" || return 1
    ctl set www ttl=3s 2> "$dir/out" && fail "set, although it is locked" && return 1
    grep -q 'another program holds a lock' "$dir/out" || fail "no reason: $(cat "$dir/out")" || return 1
    kill "$holder"; wait "$holder" 2> /dev/null
    ctl set www ttl=3s > /dev/null || fail "not free again" || return 1
    stop_jitsud
    mv "$dir/state/registry.db" "$dir/copy"
    [ ! -e "$dir/state/registry.db-wal" ] || fail "something is beside the database" || return 1
    echo 'not a database, but a text that is long enough to be looked at' > "$dir/state/registry.db"
    start_jitsud || fail "it does not start" || return 1
    ask file | grep -q 10.77.0.20 || fail "the file's services are not served" || return 1
    ctl --json status | grep -q 'this is no database' || fail "status: $(ctl status)" || return 1
    ctl set www ttl=5s 2> "$dir/out" && fail "set in what is no database" && return 1
    [ -n "$(qemu_of www)" ] || fail "its VM was ended" || return 1
    mv "$dir/copy" "$dir/state/registry.db"
    ctl set www ttl=5s > /dev/null || fail "it does not come back: $(ctl status)" || return 1
    wait_state www up 10 || fail "its VM is not known again: $(ctl show www)"
}

# What fills the disk is refused whole, and says so; what is there is served, and can be changed once there is room.
test_a_full_disk() {
    local i n=0 refused=
    mount -t tmpfs -o mode=755,size=1m none "$dir/state" || skip "no tmpfs"
    configure "$(service file 20)"
    if ! start_jitsud; then umount "$dir/state"; return 1; fi
    head -c 500000 /dev/zero > "$dir/state/filler"
    for i in $(seq 200); do
        if ! add_www "s$i" $((i + 20)) > /dev/null 2> "$dir/out"; then refused=s$i; break; fi
        n=$i
    done
    grep -q 'no room' "$dir/out" || refused=
    ctl export > "$dir/one"
    [ "$(grep -c '"name"' "$dir/one")" = "$n" ] || refused=
    ask_status "s$((n + 1))" > "$dir/status"
    ask "s$n" > "$dir/answer"
    rm "$dir/state/filler"
    add_www "s$((n + 1))" $((n + 21)) > /dev/null 2>> "$dir/out"
    ask "s$((n + 1))" > "$dir/later"
    kill -9 "$jitsud_pid" $(cut -d' ' -f1 "$dir"/run/pids/*)
    wait "$jitsud_pid" 2> /dev/null
    start_jitsud && ctl export > "$dir/two"
    stop_jitsud
    umount "$dir/state"
    [ -n "$refused" ] || fail "after $n: $(cat "$dir/out")" || return 1
    [ "$(cat "$dir/status")" = NXDOMAIN ] || fail "what was refused is in DNS" || return 1
    grep -q "10.77.0.$((n + 20))" "$dir/answer" || fail "s$n is not served while the disk is full" || return 1
    grep -q "10.77.0.$((n + 21))" "$dir/later" || fail "nothing can be added later: $(cat "$dir/out")" || return 1
    [ "$(grep -c '"name"' "$dir/two")" = "$((n + 1))" ] || fail "lost: $(grep -c '"name"' "$dir/two") of $((n + 1))"
}

# Random kills of the launcher, and of everything, while services are added, changed, removed and woken.
# What was acknowledged is written down here, and is there afterwards; the rest is there wholly or not at
# all: an add is two names, a change two options.  SEED repeats one.
worker() { # worker K: commands about the services wK-*, without end
    local k=$1 i=0 name value
    while :; do
        i=$((i + 1)) name=w$k-$((i % 4)) value=$((i % 3000 + 1))
        if add_www "$name" $((200 + 4 * k + i % 4)) --dns "$name-two.jitsu.example" > /dev/null 2>&1; then
            echo "$name 1" >> "$dir/acked-$k"
        elif [ $((i % 7)) = 0 ]; then
            echo "$name ?" >> "$dir/acked-$k"
            ctl remove "$name" > /dev/null 2>&1 && echo "$name -" >> "$dir/acked-$k"
        else
            echo "$name ?$value" >> "$dir/acked-$k"
            ctl set "$name" "ttl=${value}s" "max_hold=$((value % 600 + 1))s" > /dev/null 2>&1 &&
                echo "$name $value" >> "$dir/acked-$k"
        fi
        [ $((i % 5)) != 0 ] || ask "$name" A +time=1 > /dev/null
    done
}

# The last word about each service must be true; "?" means that it may or may not have been done.
check_acked() {
    python3 - "$dir" << 'END'
import glob, json, sys
have = {s["name"]: s for s in json.load(open(sys.argv[1] + "/exported"))["services"]}
for path in glob.glob(sys.argv[1] + "/acked-*"):
    maybe, sure = {}, {}
    for line in open(path):
        name, word = line.split()
        if word.startswith("?"):
            maybe.setdefault(name, []).append(word[1:])
        else:
            sure[name], maybe[name] = word, []
    for name, word in sure.items():
        s = have.get(name)
        if s:
            ttl, hold = int(s["ttl"][:-1]), s.get("max_hold")
            assert len(s["dns"]) == 2, (name, s)
            assert ttl == 1 or hold == str(ttl % 600 + 1) + "s", ("half a change", name, s)
        if word == "-" or "" in maybe[name]:
            continue # removed, perhaps added again by what was not acknowledged
        assert s, ("lost", name, word)
        assert str(ttl) == word or str(ttl) in maybe[name], ("an older one", name, word, maybe[name], s)
END
}

# Half of the time the launcher, which has the registry; else any other process, the supervisor alone, or all at once.
kill_one() {
    local others=(dns synproxy control local)
    case $((RANDOM % 8)) in
    0) kill -9 "$jitsud_pid" $(cut -d' ' -f1 "$dir"/run/pids/*) ;;
    1) kill -9 "$jitsud_pid" ;;
    2|3) kill -9 "$(process_pid "${others[RANDOM % 4]}")" ;;
    *) kill -9 "$(process_pid launcher)" ;;
    esac 2> /dev/null
    sleep "0.$((RANDOM % 5))"
    alive "$jitsud_pid" && return 0
    wait "$jitsud_pid" 2> /dev/null
    start_jitsud
}

test_kills_under_load() {
    configure "$(service file 20)"
    start_jitsud || return 1
    RANDOM=${SEED:=$$}
    say "SEED=$SEED"
    local i k workers kills=0
    for i in $(rounds 3 100); do
        workers=
        for k in 1 2 3; do worker $k & workers+=" $!"; done
        for _ in 1 2 3; do
            sleep "0.$((RANDOM % 9))"
            kill_one || fail "round $i of SEED=$SEED: it does not start again" || return 1
            kills=$((kills + 1))
        done
        kill $workers 2> /dev/null
        wait $workers 2> /dev/null
        wait_until 20 eval 'ctl export > "$dir/exported" 2> /dev/null' || fail "no registry" || return 1
        check_acked || fail "round $i of SEED=$SEED" || return 1
    done
    [ "$(cat "$dir"/acked-* | grep -cv '?')" -gt 10 ] || fail "hardly anything was done" || return 1
    say "$kills kills, $(cat "$dir"/acked-* | grep -cv '?') commands acknowledged"
    # and it still does what it is for
    wait_until "$patience" is_ready || fail "it is not ready" || return 1
    add_www last 90 > /dev/null && summon last | grep -q '^name last' || fail "nothing is woken any more: $(ctl why last)"
}

run_tests "$@"
