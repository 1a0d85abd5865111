#!/bin/bash
# suite.sh: jitsud with jitsu-libxl in dom0 of a nested Xen, with real guests.  run.sh runs it; check.sh counts it.
#
#     TESTS='test_x test_y'     these only
#     PVH guests where the machine can have them (CPU=qemu64,+npt), else PV
# shellcheck disable=SC2034,SC2154,SC2012,SC2016 # (what lib.sh has)
hold=park
guest_type=pv
case $XEN_CPU in *npt*) guest_type=pvh ;; esac
cp "$BUILD/guests/www-$guest_type.elf" "$BUILD/guests/www.elf" || exit 1
# shellcheck disable=SC1091
. /host/source/tests/xen/lib.sh
# shellcheck disable=SC1091
. /host/source/tests/xen/guest.sh
# shellcheck disable=SC1091
. /host/source/tests/cycles.sh

test_wake_by_query() {
    configure "$(service www 20 hold '"off"')"
    start_jitsud || return 1
    local text
    text=$(summon www) || fail "no page: $text" || return 1
    grep -q '^name www$' <<< "$text" && grep -q '^boot 1$' <<< "$text" || fail "another page: $text" || return 1
    is_state www up || fail "it is $(state_of www)" || return 1
    [ "$(our_vms)" = jitsu-www ] || fail "domains: $(domains)" || return 1
    [ "$(vifs)" = "vif$(domid_of www).0" ] || fail "ports: $(vifs)" || return 1
    ip -o link show br0 | grep -q 02:00:00:77:00:01 || fail "the bridge has another MAC" || return 1
    ctl stop www || fail "stop failed" || return 1
    is_state www off || fail "it is $(state_of www)" || return 1
    wait_until 20 nothing_runs || fail "left: $(domains) $(vifs)" || return 1
    summon www | grep -q '^boot 2$' || fail "no second boot"
}

# The first connection to a VM that is away: a vif is handed over as a tap is, its VM is guarded, and what nobody uses
# goes.
test_wake_by_syn() {
    configure "$(service www 20)" "$(service brief 21 idle_timeout '"3s"')"
    start_jitsud && wait_held www brief || return 1
    local took port
    took=$(connect 10.77.0.20) || fail "no page" || return 1
    at_once "$took" www || fail "connecting took $took s: $(ctl trace www)" || return 1
    grep -q '^boot 1$' "$dir/connected" || fail "another page: $(cat "$dir/connected")" || return 1
    ctl why www | grep -q syn || fail "why: $(ctl why www)" || return 1
    port=vif$(domid_of www).0
    bridge fdb show br br0 | grep "$(mac_of www) dev $port" | grep -q static ||
        fail "no entry: $(bridge fdb show br br0)" || return 1
    tc filter show dev "$port" ingress | grep -q from_vm || fail "nothing guards $port" || return 1
    page 10.77.0.21 | grep -q '^name brief' || fail "no page of brief" || return 1
    wait_state brief off 60 || fail "it is $(state_of brief): $(ctl why brief)" || return 1
    wait_until 20 eval '[ "$(vifs)" = '"$port"' ]' || fail "left: $(domains) $(vifs)" || return 1
    bridge fdb show br br0 | grep "$(mac_of brief) dev jh" | grep -q sticky ||
        fail "not held: $(bridge fdb show br br0)"
}

# A paused VM is woken by a resume, and is the same as before.
test_suspend_and_resume() {
    configure "$(service www 20 stop '"suspend"')"
    start_jitsud && wait_held www || return 1
    page 10.77.0.20 | grep -q '^boot 1$' || fail "no page" || return 1
    ctl stop www || fail "it was not suspended" || return 1
    is_state www suspended || fail "it is $(state_of www)" || return 1
    xl list | grep -q '^jitsu-www .*p' || fail "not paused: $(xl list)" || return 1
    page 10.77.0.20 | grep -q '^boot 1$' || fail "it was not resumed" || return 1
    is_state www up || fail "it is $(state_of www)" || return 1
    ctl stop www && is_state www suspended || fail "it is $(state_of www)" || return 1
    ctl stop www && is_state www off || fail "it cannot be ended: $(state_of www)" || return 1
    wait_until 20 nothing_runs || fail "left: $(domains) $(vifs)"
}

# In a file, with its connection; the next one who comes, or says something in it, has it again.
saved_file() { find "$dir/state/saved/$1" -type f -name '????????????????.????????????????' 2> /dev/null; }

test_save_and_restore() {
    [ -n "${LONG:-}" ] || skip "in check-long"
    configure "$(service www 20 stop '"save"' start_timeout '"120s"' machine.cmdline "$(guest banner=1)" ports '[80, 22]')"
    start_jitsud && wait_held www || return 1
    page 10.77.0.20 | grep -q '^boot 1$' || fail "no page" || return 1
    session_begin 10.77.0.20 22
    session_hear > /dev/null && session_say one && [ "$(session_hear)" = one ] || fail "no echo" || return 1
    ctl stop www && is_state www saved || fail "it is $(state_of www): $(ctl why www)" || return 1
    wait_until 20 nothing_runs || fail "left: $(domains) $(vifs)" || return 1
    [ "$(stat -c '%a %u' "$(saved_file www)")" = "600 0" ] || fail "its file: $(stat "$(saved_file www)")" || return 1
    kill -9 "$(process_pid launcher)"
    wait_until "$patience" is_state www saved || fail "with another launcher it is $(state_of www)" || return 1
    session_say two
    [ "$(session_hear)" = two ] || fail "the connection is gone: $(ctl why www)" || return 1
    page 10.77.0.20 | grep -q '^boot 1$' || fail "it was booted: $(tail -5 "$dir/log")" || return 1
    [ -z "$(saved_file www)" ] || fail "its file is still there" || return 1
    ctl stop www && is_state www saved || fail "a second time it is $(state_of www)" || return 1
    head -c 10000 /dev/urandom > "$(saved_file www)"
    page 10.77.0.20 | grep -q '^boot 2$' || fail "garbage was not followed by a boot: $(ctl why www)" || return 1
    # a guest that cannot is known at once, and goes on
    xenstore-write "/local/domain/$(domid_of www)/control/feature-suspend" ''
    ctl stop www > "$dir/out" 2>&1 && fail "it was stopped" && return 1
    grep -q 'does not say that it can be suspended' "$dir/out" || fail "no reason: $(cat "$dir/out")" || return 1
    is_state www up && page 10.77.0.20 | grep -q '^boot 2$' || fail "it does not go on"
}

up_or_saved() { is_state "$1" up || is_state "$1" saved; }
being_saved() { [ -n "$(find "$dir/state/saved/$1" -name '*.part')" ]; }

# By xl's own file, too; the process that saves may die in between.
test_save_of_an_xl_config() {
    [ -n "${LONG:-}" ] || skip "in check-long"
    write_xl_config db 30 /build/jitsu-vif
    configure "$(service db 30 stop '"save"' start_timeout '"120s"' machine.kernel '' machine.memory '' machine.cmdline '' \
        machine.nics '' machine.xl_config "\"$dir/images/db.cfg\"")"
    start_jitsud && wait_held db || return 1
    page 10.77.0.30 | grep -q '^name db' || fail "no page" || return 1
    ctl stop db > /dev/null 2>&1 &
    local stopping=$!
    wait_until 10 being_saved db
    kill -9 "$(process_pid local)"
    wait $stopping
    wait_until "$patience" hypervisor_ready && wait_until "$patience" up_or_saved db ||
        fail "then it is $(state_of db): $(ctl why db)" || return 1
    page 10.77.0.30 | grep -q '^name db' || fail "it does not go on: $(ctl why db)" || return 1
    ctl stop db && is_state db saved || fail "it is $(state_of db): $(ctl why db)" || return 1
    page 10.77.0.30 > "$dir/after" && [ "$(field boots db)" = 1 ] || fail "it was booted: $(tail -5 "$dir/log")" || return 1
    ctl stop db && is_state db saved || fail "again it is $(state_of db)" || return 1
    touch "$dir/images/db.cfg"
    page 10.77.0.30 > "$dir/after" && [ "$(field boots db)" = 2 ] || fail "it was restored in spite of its new file"
}

# Frames for everybody fill the ring of a paused guest, and after a while netback takes its port's carrier away, so
# that the bridge does not forward to it.  Who wakes it then loses no SYN: this client sends one, once.
reload_netback() { rmmod xen_netback && modprobe xen_netback "$@"; }
shout() {
    in_client bash -c 'for i in {50..249}; do echo > "/dev/udp/10.77.0.$i/9"; done' 2> /dev/null
    ip -n "$client" neigh flush dev eth0
}
stalls() {
    shout
    sleep 1
    [ "$(cat "/sys/class/net/$1/carrier")" = 0 ]
}
answered() { seen 'tcp 10.77.0.20:80 10.77.0.250:[0-9]+ (SA|AS)' > /dev/null; }

test_resume_of_a_port_without_carrier() {
    local port
    wait_until 20 nothing_runs && reload_netback rx_stall_timeout_msecs=2000 || fail "netback is in use" || return 1
    configure "$(service www 20 stop '"suspend"')"
    start_jitsud && wait_held www || return 1
    page 10.77.0.20 | grep -q '^boot 1$' || fail "no page" || return 1
    ctl stop www && is_state www suspended || fail "it is $(state_of www)" || return 1
    port=vif$(domid_of www).0
    wait_until 60 stalls "$port" || fail "$port has a carrier: $(ip -s link show "$port")" || return 1
    ip -n "$client" addr add 10.77.0.250/24 dev eth0
    capture_begin "$client" eth0 || return 1
    in_client "$packets" scan eth0 10.77.0.250 1 10.77.0.20 1 80 1 1000
    wait_until "$patience" answered || fail "the SYN was lost: $(ctl trace www)" || return 1
    capture_end
    [ "$(seen 'tcp 10.77.0.250:[0-9]+ 10.77.0.20:80 S ')" = 1 ] || fail "not one SYN" || return 1
    [ "$(cat "/sys/class/net/$port/carrier")" = 1 ] || fail "$port has no carrier" || return 1
    page 10.77.0.20 | grep -q '^boot 1$' || fail "it is another boot" || return 1
    ctl stop www && ctl stop www && wait_until 20 nothing_runs || fail "left: $(domains) $(vifs)" || return 1
    reload_netback || fail "netback is in use"
}

# A domain that somebody else has created, with the stock script, is served and left alone.
test_domain_of_others() {
    write_xl_config other 21 /etc/xen/scripts/vif-bridge
    xl create -q "$dir/images/other.cfg" || fail "xl create" || return 1
    configure "$(domain_service other 21)"
    start_jitsud || return 1
    wait_state other adopted || fail "it is $(state_of other)" || return 1
    [ "$(ask other)" = 10.77.0.21 ] && page 10.77.0.21 | grep -q '^name other' || fail "no page" || return 1
    xl destroy other
    wait_state other off || fail "other is $(state_of other)"
}

# One that is described in a file of xl's is woken by it.
test_xl_config() {
    write_xl_config file 22 /build/jitsu-vif
    configure "$(domain_service file 22 hold '"off"' machine.domain '' machine.xl_config "\"$dir/images/file.cfg\"")"
    start_jitsud || return 1
    summon file | grep -q '^name file' || fail "no page: $(ctl show file)" || return 1
    is_state file up && [ "$(field started_by file)" = jitsu ] || fail "it is $(state_of file)" || return 1
    [ "$(domains)" = file ] || fail "domains: $(domains)" || return 1
    ctl stop file || fail "it cannot be stopped: $(ctl show file)" || return 1
    wait_state file off || fail "it is $(state_of file)"
}

# ... and held before it first runs, by what that file says: the first SYN is answered.  The same after a run.
test_xl_config_is_held() {
    write_xl_config file 22 /build/jitsu-vif
    configure "$(domain_service file 22 machine.domain '' machine.xl_config "\"$dir/images/file.cfg\"")"
    start_jitsud && wait_held file || return 1
    nothing_runs || fail "it runs already: $(domains)" || return 1
    local round took
    for round in 1 2; do
        took=$(connect 10.77.0.22) || fail "round $round: no page: $(ctl show file)" || return 1
        at_once "$took" file || fail "round $round: connecting took $took s: $(ctl trace file)" || return 1
        grep -q '^name file' "$dir/connected" || fail "another page: $(cat "$dir/connected")" || return 1
        ctl why file | grep -q syn || fail "why: $(ctl why file)" || return 1
        ctl stop file > /dev/null || fail "it cannot be stopped: $(ctl show file)" || return 1
        wait_until 20 nothing_runs && wait_held file || fail "left: $(domains) $(ctl show file)" || return 1
    done
    sed -i 's/mac=[^,]*,//' "$dir/images/file.cfg"
    ctl reload > /dev/null && wait_until 10 eval 'ctl show file | grep -q "give it mac="' ||
        fail "held without a MAC: $(ctl show file)" || return 1
    summon file | grep -q '^name file' || fail "its name does not wake it: $(ctl show file)"
}

# Every process of ours is killed while a VM runs and another is woken: the first lives on, the second comes up.
kill_and_look() { # kill_and_look PROCESS
    local process=$1 pid domid
    pid=$(process_pid "$process")
    domid=$(domid_of www)
    page 10.77.0.21 > "$dir/other.$process" &
    local asking=$!
    sleep 0.3
    kill -9 "$pid"
    wait_until 20 eval '[ "$(process_pid '"$process"')" != '"$pid"' ]' || fail "$process is not restarted" || return 1
    wait $asking
    grep -q '^name other' "$dir/other.$process" || fail "$process: the wake under way was lost" || return 1
    [ "$(domid_of www)" = "$domid" ] || fail "$process: the VM did not live on" || return 1
    page 10.77.0.20 | grep -q '^boot 1$' || fail "$process: www was rebooted" || return 1
    wait_state www up && wait_state other up || fail "$process: $(ctl list)" || return 1
    ctl stop other > /dev/null || fail "$process: stop failed" || return 1
    wait_until 20 eval '[ "$(our_vms)" = jitsu-www ]' || fail "$process: left: $(domains)"
}

test_every_process_may_die() {
    configure "$(service www 20)" "$(service other 21)"
    start_jitsud && wait_held www other || return 1
    page 10.77.0.20 > /dev/null || fail "no page" || return 1
    local process
    for process in local launcher $(rounds "" "dns synproxy control"); do
        kill_and_look "$process" || return 1
    done
    kill -9 "$jitsud_pid"
    wait "$jitsud_pid" 2> /dev/null
    start_jitsud || return 1
    page 10.77.0.20 | grep -q '^boot 1$' || fail "supervisor: www was rebooted" || return 1
    wait_state www up || fail "supervisor: $(ctl list)"
}

# What a Linux says of its disks, a line each.
disks() { in_client curl -sf --noproxy '*' -m "$patience" http://10.77.0.20/cgi-bin/disks; }
has_disks() { [ "$(disks | wc -l)" = "$1" ]; }
write_disk() { in_client curl -sf --noproxy '*' -m "$patience" "http://10.77.0.20/cgi-bin/write?$1"; }
loops() { cat /sys/block/loop*/loop/backing_file 2> /dev/null; }
no_loops() { [ -z "$(loops)" ]; }

# A Linux has two files of this host as its disks, by Xen's own script: one of them can only be read.
test_a_guest_reads_its_disks() {
    [ -n "${LONG:-}" ] || skip "in check-long"
    local linux=/host/build/guests/linux disk kept
    [ -f $linux/initrd ] || skip "the Linux guest is not built (make guests-linux)"
    install -m 644 $linux/vmlinuz $linux/initrd "$dir/images/" || return 1
    for disk in fixed own; do head -c 1M /dev/urandom > "$dir/images/$disk"; done
    kept=$(sha256sum < "$dir/images/fixed")
    configure "$(service www 20 start_timeout '"240s"' max_hold '"240s"' stop_timeout '"60s"' \
        machine.kernel "\"$dir/images/vmlinuz\"" machine.initrd "\"$dir/images/initrd\"" machine.memory '"160MiB"' \
        machine.cmdline '"console=hvc0 quiet panic=-1 ip={ip}/{prefix} name={name} boot={boot}"' machine.disks \
        "[{\"path\": \"$dir/images/fixed\", \"read_only\": true}, {\"path\": \"$dir/images/own\"}]")"
    start_jitsud && wait_held www || return 1
    page 10.77.0.20 240 | grep -q '^boot 1$' || fail "no page: $(ctl console www | tail -5)" || return 1
    wait_until "$patience" has_disks 2 || fail "its disks: $(disks)" || return 1
    disks | grep -q "^xvda ro=1 ${kept%% *}" || fail "xvda is another: $(disks)" || return 1
    disks | grep -q "^xvdb ro=0 $(sha256sum < "$dir/images/own" | cut -d' ' -f1)" ||
        fail "xvdb is another: $(disks)" || return 1
    [ -z "$(write_disk xvda)" ] || fail "xvda can be written to" || return 1
    [ "$(write_disk xvdb)" = written ] || fail "xvdb cannot be written to" || return 1
    [ "$(loops | sort)" = "$dir/images/fixed"$'\n'"$dir/images/own" ] || fail "loop devices: $(loops)" || return 1
    ctl stop www > /dev/null || fail "it cannot be stopped: $(ctl show www)" || return 1
    wait_until 20 nothing_runs && wait_until 20 no_loops || fail "left: $(domains) $(vifs) $(loops)" || return 1
    [ "$(sha256sum < "$dir/images/fixed")" = "$kept" ] || fail "what can only be read was written" || return 1
    [ "$(head -n 1 "$dir/images/own")" = 'www 1' ] || fail "what was written is not there"
}

# A Linux tells once that it can be suspended, when it boots: after a restore it must be known all the same.
test_a_linux_is_saved_again() {
    [ -n "${LONG:-}" ] || skip "in check-long"
    local linux=/host/build/guests/linux i
    [ -f $linux/initrd ] || skip "the Linux guest is not built (make guests-linux)"
    install -m 644 $linux/vmlinuz $linux/initrd "$dir/images/" || return 1
    configure "$(service www 20 stop '"save"' start_timeout '"240s"' max_hold '"240s"' stop_timeout '"120s"' \
        machine.kernel "\"$dir/images/vmlinuz\"" machine.initrd "\"$dir/images/initrd\"" machine.memory '"160MiB"' \
        machine.cmdline '"console=hvc0 quiet panic=-1 ip={ip}/{prefix} name={name} boot={boot}"')"
    start_jitsud && wait_held www || return 1
    for i in 1 2 3; do
        page 10.77.0.20 240 | grep -q '^boot 1$' || fail "no page of the first boot in round $i: $(ctl why www)" || return 1
        ctl stop www > /dev/null && is_state www saved || fail "round $i: it is $(state_of www): $(ctl why www)" || return 1
    done
    ctl stop www > /dev/null && is_state www off || fail "it is $(state_of www)"
}

# Many times on and off leaves nothing behind.
test_nothing_is_left() {
    configure "$(service www 20)"
    start_jitsud && wait_held www || return 1
    cycles_leave_nothing "${CYCLES:-$(rounds 20 200 | tail -n 1)}" || return 1
    nothing_runs || fail "left: $(domains) $(vifs)"
}

BASH_ARGV0=xen-$guest_type # whose tests these are
# shellcheck disable=SC2086
run_tests ${TESTS:-}
