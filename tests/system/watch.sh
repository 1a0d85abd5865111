#!/bin/bash
# Seeing what happens: events as they come, the live table in a terminal of 80 columns, the zones; and services of
# the first jitsu's command line.
. "$(dirname "$0")/lib.sh"

# ---- a terminal: tmux, with a server of its own ----

screen() { tmux -S "$dir/tmux" "$@"; }

# in_terminal COLUMNS LINES COMMAND...: a shell, and this command typed into it
in_terminal() {
    local columns=$1 lines=$2
    shift 2
    command -v tmux > /dev/null || skip "tmux is not installed"
    env -u TMUX LC_ALL=C.UTF-8 tmux -S "$dir/tmux" -f /dev/null new-session -d -x "$columns" -y "$lines" "PS1='shell\$ ' sh" &&
        extra_pids+=" $(screen display-message -p '#{pid}')" && screen set-option -g status off &&
        screen resize-window -x "$columns" -y "$lines" && screen send-keys "$*" Enter
}
end_terminal() { screen kill-server 2> /dev/null; rm -f "$dir/tmux"; return 0; }

shown() { screen capture-pane -p; }
shows() { shown | grep -q -- "$1"; }
wait_shown() { wait_until "${2:-15}" shows "$1" || fail "\"$1\" is never on the screen: $(shown)"; }
keys() { screen send-keys "$@"; }

widest() { shown | LC_ALL=C.UTF-8 wc -L; }

test_watch_tells_what_happens() {
    configure "$(service www 20)" "$(service other 21)"
    start_jitsud || return 1
    ctl watch --json > "$dir/all" 2> "$dir/err" & local all=$!
    ctl watch other > "$dir/other" 2>> "$dir/err" & local other=$!
    wait_until 10 eval '[ -s "$dir/all" ] && [ -s "$dir/other" ]' || fail "no beginning: $(cat "$dir/err")" || return 1
    summon www | grep -q '^name www' || fail "no page" || return 1
    ctl stop www > /dev/null || return 1
    ctl add api --dns api.jitsu.example --ip 10.77.0.30/24 --kernel "$dir/images/www.elf" --hold off > /dev/null || return 1
    ctl set api ttl=5s --dry-run > /dev/null || return 1
    ctl start other > /dev/null || fail "not started" || return 1
    wait_until 10 grep -q '"event":"woken","service":"other"' "$dir/all" || fail "$(cat "$dir/all")" || return 1
    kill "$all" "$other"
    wait "$all" "$other" 2> /dev/null
    python3 - "$dir/all" << 'PYTHON' || fail "$(cat "$dir/all")" || return 1
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
assert rows[0]["event"] == "begin", rows[0]
assert [r["number"] for r in rows] == list(range(rows[0]["number"], rows[0]["number"] + len(rows)))
www = [r for r in rows if r.get("service") == "www"]
states = [(r["before"], r["state"]) for r in www if r["event"] == "state"]
assert states == [("off", "starting"), ("starting", "booting"), ("booting", "up"), ("up", "stopping"), ("stopping", "off")] or \
    states == [("off", "starting"), ("starting", "up"), ("up", "stopping"), ("stopping", "off")], states
wake, woken = [[r for r in www if r["event"] == e] for e in ("wake", "woken")]
assert len(wake) == 1 and wake[0]["cause"] == "dns" and wake[0]["client"] == "10.77.0.2", wake
assert len(woken) == 1 and woken[0]["result"] == "up" and woken[0]["took_ms"] > 0, woken
assert woken[0]["wake"] == wake[0]["wake"]
last = [r for r in www if r.get("state") == "off"][0]
assert last["reason"] == "stopped by the operator (uid 0)", last
revisions = [r for r in rows if r["event"] == "revision"]
assert len(revisions) == 1 and revisions[0]["service"] == "api" and revisions[0]["revision"] == 1, revisions
PYTHON
    grep -q 'other: booting -> up\|other: starting -> up' "$dir/other" || fail "$(cat "$dir/other")" || return 1
    grep -q 'other is woken by jitsuctl (wake ' "$dir/other" || fail "$(cat "$dir/other")" || return 1
    ! grep -q 'www\|api' "$dir/other" || fail "others' events: $(cat "$dir/other")" || return 1
    # the line that says from when on
    timeout "$patience" "$BUILD/jitsuctl" -S "$dir/run/control.sock" watch other -n 1 > "$dir/one" 2>&1 &&
        [ "$(wc -l < "$dir/one")" = 1 ] || fail "watch other -n 1: $(cat "$dir/one")" || return 1
    ctl watch nobody -n 1 2> "$dir/out" && fail "who is not there is watched" && return 1
    grep -q 'there is no service "nobody"' "$dir/out" || fail "$(cat "$dir/out")"
}

test_watch_outlives_a_launcher() {
    configure "$(service www 20)"
    start_jitsud || return 1
    ctl watch > "$dir/all" 2> "$dir/err" & local all=$!
    wait_until 10 test -s "$dir/all" || return 1
    kill -9 "$(process_pid launcher)"
    wait_until 20 eval '[ "$(grep -c "from here on every event is shown" "$dir/all")" = 2 ]' ||
        fail "no new beginning: $(cat "$dir/all" "$dir/err")" || return 1
    wait_until 20 is_ready
    ctl start www > /dev/null || fail "not started" || return 1
    wait_until 10 grep -q 'www: wake 1: up after' "$dir/all" || fail "$(cat "$dir/all")" || return 1
    kill "$all"
    wait "$all" 2> /dev/null
    return 0
}

test_top_in_80_columns() {
    local services=() i
    for i in $(seq 20 59); do services+=("$(service "s$i" "$i")"); done
    configure "$(service a-service-with-a-long-name 60)" "${services[@]}"
    start_jitsud || return 1
    in_terminal 80 24 "$BUILD/jitsuctl -S $dir/run/control.sock top" || return 1
    wait_shown '^41 services: 0 up, ' || return 1
    [ "$(shown | sed -n 4p)" = "$(shown | grep '^NAME  *STATE  *CLIENT  *HELD  *MEMORY  *RUNS  *WOKEN  *TOOK')" ] ||
        fail "the titles are not where they should be: $(shown)" || return 1
    [ "$(widest)" -le 80 ] || fail "wider than the screen: $(shown)" || return 1
    shows '^1 to 19 of 41$' || fail "not as much as there is room for: $(shown)" || return 1
    summon s25 | grep -q '^name s25' || fail "no page" || return 1
    wait_shown '^41 services: 1 up, 0 on their way, 0 failed; 16 MiB used' || return 1
    wait_shown '^s25 .* up .* 10\.77\.0\.2 .* 16 MiB .* [0-9.]*m\{0,1\}s$' || return 1
    keys s s s s
    wait_shown 'sorted by last wake;' 5 || return 1
    [ "$(shown | sed -n 5p | cut -c1-4)" = 's25 ' ] || fail "who was woken last is not the first: $(shown)" || return 1
    keys j
    wait_shown '^2 to 20 of 41$' 5 || return 1
    keys PageDown
    wait_shown '^21 to 39 of 41$' 5 || return 1
    # another size, at once
    screen resize-window -x 62 -y 50
    wait_shown '^s59 ' 5 || return 1
    ! shows ' of 41$' || fail "there is room for all: $(shown)" || return 1
    [ "$(widest)" -le 62 ] || fail "wider than the screen: $(shown)" || return 1
    screen resize-window -x 80 -y 24
    wait_shown '^[0-9]* to [0-9]* of 41$' 5 || return 1
    # jitsud goes away and comes back
    stop_jitsud
    wait_shown '^there is no socket\|^nobody listens\|^jitsud closed' || return 1
    shows '^s' || fail "the old table is gone: $(shown)" || return 1
    start_jitsud || return 1
    wait_shown '^sorted by last wake; keys' || return 1
    keys q
    wait_shown '^shell\$$' 5 || return 1
    ! shows 'services:' || fail "the screen is not given back: $(shown)" || return 1
    keys 'stty -a | grep -o " -\{0,1\}echo " | tr -d " "' Enter
    wait_shown '^echo$' 5 || fail "the terminal is not as it was" || return 1
    end_terminal
}

test_top_ends_and_stops_like_any_program() {
    configure "$(service www 20)"
    start_jitsud || return 1
    in_terminal 80 24 "$BUILD/jitsuctl -S $dir/run/control.sock top" || return 1
    wait_shown '^1 services: ' || return 1
    keys C-z
    wait_shown '^shell\$$' 5 || return 1
    keys fg Enter
    wait_shown '^1 services: ' || return 1
    keys C-c
    wait_shown '^shell\$ fg$' 5 || return 1
    keys 'echo status $?' Enter
    wait_shown '^status 130$' 5 || return 1
    # into a pipe: one table
    keys "$BUILD/jitsuctl -S $dir/run/control.sock top | cat; echo status \$?" Enter
    wait_shown '^status 0$' 5 || return 1
    shows 'NAME  STATE .* TOOK$' && shows '^www ' || fail "no table: $(shown)" || return 1
    end_terminal
}

test_watch_in_80_columns() {
    configure "$(service www 20)"
    start_jitsud || return 1
    in_terminal 80 24 "$BUILD/jitsuctl -S $dir/run/control.sock watch" || return 1
    wait_shown 'from here on every event is shown$' || return 1
    summon www | grep -q '^name www' || fail "no page" || return 1
    wait_shown 'www is woken by dns from 10\.77\.0\.2 (wake 1)$' || return 1
    wait_shown 'www: booting -> up: ready$\|www: starting -> up: ready$' || return 1
    wait_shown 'www: wake 1: up after [0-9]* ms$' || return 1
    [ "$(widest)" -le 80 ] || fail "wider than the screen: $(shown)" || return 1
    keys C-c
    wait_shown '^shell\$$' 5 || return 1
    end_terminal
}

test_zones() {
    mkdir -p "$dir/zones"
    printf 'txt IN TXT "a record"\n' > "$dir/zones/jitsu.zone"
    zone_keys="\"file\": \"$dir/zones/jitsu.zone\", \"secondaries\": [{\"address\": \"192.0.2.53\"}]"
    top_keys="\"zone_dirs\": [\"$dir/zones\"],"
    configure "$(service www 20)"
    start_jitsud || return 1
    wait_until 10 eval 'ctl --json zones | grep -q "\"serial\":[1-9]"' || fail "no serial: $(ctl zones)" || return 1
    local serial; serial=$(in_client dig +short +tries=1 @$host_ip jitsu.example SOA | cut -d' ' -f3)
    ctl zones | grep -q "^jitsu.example  *$serial  *no  *192.0.2.53 port 53  */" || fail "$(ctl zones) ($serial)" || return 1
    ctl dnssec enable jitsu.example > /dev/null || return 1
    ctl --json zones | grep -q '"signed":true' || fail "not signed: $(ctl --json zones)" || return 1
    echo 'txt IN NOSUCHTYPE x' >> "$dir/zones/jitsu.zone"
    ctl reload 2> /dev/null && fail "a bad zone file is taken" && return 1
    ctl zones | grep -q '^jitsu.example: .*jitsu.zone, line 2' || fail "no mistake: $(ctl zones)"
}

test_the_first_jitsus_command_line() {
    hold=park
    configure "$(service file 20)"
    start_jitsud || return 1
    ctl import-jitsu -x libxl -t 1 -m destroy "dns=old.jitsu.example,ip=10.77.0.31,kernel=$dir/images/www.elf,memory=16384,name=Old,nic=br0,\
cmdline=ip=10.77.0.31/24 gw=10.77.0.1 name=old" > "$dir/out" 2>&1 || fail "$(cat "$dir/out")" || return 1
    grep -q '^revision 1$' "$dir/out" || fail "$(cat "$dir/out")" || return 1
    [ "$(field ttl_s old)" = 1 ] && [ "$(field idle_timeout_ms old)" = 2000 ] || fail "$(ctl show old)" || return 1
    page 10.77.0.31 | grep -q '^name old' || fail "no page: $(ctl why old)" || return 1
    ctl import-jitsu -b 10.0.0.1 'dns=b.jitsu.example,ip=10.77.0.32,name=b,script=vif-bridge' 2> "$dir/out"
    [ $? = 2 ] && grep -q -- '--bind: ' "$dir/out" && grep -q 'script: none is named here' "$dir/out" ||
        fail "$(cat "$dir/out")" || return 1
    # what it waits for is Xen's
    ctl import-jitsu 'dns=b.jitsu.example,ip=10.77.0.32,name=b,wait_for_key=data/up' 2> "$dir/out" && fail "a key is waited for" &&
        return 1
    grep -q 'ready\[0\]: hypervisor "local" has no XenStore' "$dir/out" || fail "$(cat "$dir/out")" || return 1
    # two, of which jitsud refuses the second: neither is added
    local kernel="kernel=$dir/images/www.elf,memory=16384,nic=br0"
    ctl import-jitsu "dns=c.jitsu.example,ip=10.77.0.33,name=c,$kernel" "dns=d.jitsu.example,ip=10.77.0.20,name=d,$kernel" \
        2> "$dir/out" && fail "a used address is taken" && return 1
    grep -q 'ip\[0\]: .* is used already by service "file"' "$dir/out" || fail "$(cat "$dir/out")" || return 1
    # likewise if one of them is there already, whatever it would become
    ctl import-jitsu "dns=c.jitsu.example,ip=10.77.0.33,name=c,$kernel" "dns=old.jitsu.example,ip=10.77.0.34,name=old,$kernel" \
        2> "$dir/out" && fail "an existing service is changed" && return 1
    grep -q 'there is a service "old" already' "$dir/out" || fail "$(cat "$dir/out")" || return 1
    ctl import-jitsu --dry-run "dns=c.jitsu.example,ip=10.77.0.33,name=c,$kernel" | grep -q 'nothing was changed' || return 1
    [ "$(ctl history | wc -l)" = 1 ] || fail "something was added: $(ctl history)" || return 1
    ctl import-jitsu "dns=c.jitsu.example,ip=10.77.0.33,name=c,$kernel" "dns=d.jitsu.example,ip=10.77.0.34,name=d,$kernel" \
        > "$dir/out" || fail "two are not added" || return 1
    [ "$(cat "$dir/out")" = "revision 2" ] || fail "not in one revision: $(cat "$dir/out")" || return 1
    [ "$(ask c)" = 10.77.0.33 ] && [ "$(ask d)" = 10.77.0.34 ] || fail "not served"
}

run_tests "$@"
