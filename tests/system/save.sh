#!/bin/bash
# Saved to a file when nobody uses it, and restored for the next who does: the same VM, whatever died in between.
# shellcheck disable=SC2034 # lib.sh reads it
hold=park
. "$(dirname "$0")/lib.sh"

uptime_of() { sed -n 's/^uptime \([0-9]*\).*/\1/p'; }
saved_file() { find "$dir/state/saved/$1" -type f -name '????????????????.????????????????' 2>/dev/null; }

# Up, used, and saved by the operator; its page is in $dir/before.
save_www() {
    wait_held www && summon www > "$dir/before" || fail "no page" || return 1
    ctl stop www || fail "it cannot be stopped: $(ctl why www)" || return 1
    is_state www saved || fail "it is $(state_of www): $(ctl why www)" || return 1
    [ -z "$(our_vms)" ] || fail "its QEMU is left"
}

# It goes on from where it was: the same boot, and no younger.
expect_restored() {
    summon www > "$dir/after" || fail "no page: $(ctl why www)" || return 1
    grep -q '^boot 1$' "$dir/after" || fail "it was booted: $(cat "$dir/after")" || return 1
    [ "$(uptime_of < "$dir/after")" -ge "$(uptime_of < "$dir/before")" ] || fail "it is younger than before" || return 1
    [ -z "$(saved_file www)" ] || fail "its file is still there"
}

expect_booted() { # expect_booted BOOT WHY
    summon www | grep -q "^boot $1\$" || fail "it was not booted: $(ctl why www)" || return 1
    grep -q "$2" "$dir/log" || fail "the log does not say why: $(tail -5 "$dir/log")"
}

test_idle_save_and_restore() {
    configure "$(service www 20 stop '"save"' idle_timeout '"2s"')"
    start_jitsud && wait_held www && summon www > "$dir/before" || return 1
    wait_state www saved 30 || fail "it is $(state_of www): $(ctl why www)" || return 1
    [ -z "$(our_vms)" ] || fail "its QEMU is left" || return 1
    [ -z "$(ip -n "$host" -o link show | grep ': jt')" ] || fail "its tap is left" || return 1
    [ "$(stat -c '%a %u' "$(saved_file www)")" = "600 0" ] || fail "its file: $(stat "$(saved_file www)")" || return 1
    [ "$(stat -c '%a %u' "$dir/state/saved")" = "700 0" ] || fail "save_dir: $(stat "$dir/state/saved")" || return 1
    connect 10.77.0.20 > /dev/null
    grep -q '^boot 1$' "$dir/connected" || fail "a SYN does not restore it: $(cat "$dir/connected")" || return 1
    local user; user=$(stat -c %U "/proc/$(qemu_of www)")
    [ "$user" = libvirt-qemu ] || fail "after a restore QEMU is $user's"
}

# A connection lives on in the file: what its client says next wakes the VM, which answers it.
test_connection_outlives_a_save() {
    configure "$(service www 20 stop '"save"' machine.cmdline "$(guest banner=1)" ports '[80, 22]')"
    start_jitsud && wait_held www && summon www > /dev/null || return 1
    session_begin 10.77.0.20 22
    session_hear > /dev/null && session_say one && [ "$(session_hear)" = one ] || fail "no echo" || return 1
    ctl stop www && is_state www saved || fail "it is $(state_of www)" || return 1
    session_say two
    [ "$(session_hear)" = two ] || fail "the connection is gone: $(ctl why www)" || return 1
    is_state www up || fail "it is $(state_of www)"
}

test_launcher_and_host_die_while_it_is_saved() {
    configure "$(service www 20 stop '"save"')"
    start_jitsud && save_www || return 1
    kill -9 "$(process_pid launcher)"
    wait_until "$patience" is_state www saved || fail "with another launcher it is $(state_of www)" || return 1
    expect_restored || return 1
    ctl stop www && is_state www saved || fail "it is $(state_of www)" || return 1
    stop_jitsud
    rm -rf "${dir:?}/run" && mkdir "$dir/run" # as a reboot does
    start_jitsud && wait_connected || return 1
    wait_state www saved || fail "after a reboot it is $(state_of www)" || return 1
    expect_restored
}

# The backend is killed while it writes, again and again: the VM is up, or saved; never lost in silence.
test_backend_dies_while_it_saves() {
    configure "$(service www 20 stop '"save"')"
    start_jitsud && wait_held www && summon www > "$dir/before" || return 1
    local i
    for i in $(rounds 3 20); do
        ctl stop www > /dev/null 2>&1 &
        local stopping=$!
        sleep "0.$((i * 7 % 30 + 5))"
        kill -9 "$(process_pid local)" 2> /dev/null
        wait $stopping
        wait_until "$patience" hypervisor_ready || fail "the backend does not come back" || return 1
        wait_until "$patience" settled || fail "round $i: it stays $(state_of www): $(ctl why www)" || return 1
        if is_state www off; then # between QEMU's end and the file's being in its place
            grep -q 'had in memory is lost' "$dir/log" || fail "round $i: it was lost in silence" || return 1
            return 0
        fi
        expect_restored || return 1
    done
}
settled() { is_state www up || is_state www saved || is_state www off; }

test_another_kernel_is_booted() {
    configure "$(service www 20 stop '"save"')"
    start_jitsud && save_www || return 1
    touch "$dir/images/www.elf"
    expect_booted 2 'not restored, but thrown away: its kernel' || return 1
    [ -z "$(saved_file www)" ] || fail "the file is still there"
}

# Garbage instead of a state: whoever waits is served all the same, within the same wake.
test_file_that_cannot_be_restored() {
    configure "$(service www 20 stop '"save"')"
    start_jitsud && save_www || return 1
    head -c 100000 /dev/urandom > "$(saved_file www)"
    expect_booted 2 'could not be restored, so that it is booted' || return 1
    [ "$(field wakes www)" = 2 ] || fail "it took $(field wakes www) wakes" || return 1
    [ -f "$dir/state/saved/www/failed" ] || fail "the file was not put aside"
}

# Half a file, as after a power failure in another file system's hands.
test_half_a_file() {
    configure "$(service www 20 stop '"save"')"
    start_jitsud && save_www || return 1
    local file; file=$(saved_file www)
    truncate -s $(($(stat -c %s "$file") / 2)) "$file"
    expect_booted 2 'could not be restored, so that it is booted'
}

# No room: it stays up and says why, and is saved when there is some.
test_disk_without_room() {
    mkdir -m 700 "$dir/small" && mount -t tmpfs -o size=1M,mode=700 none "$dir/small" || skip "needs a tmpfs of its own"
    top_keys=" \"save_dir\": \"$dir/small\"," configure "$(service www 20 stop '"save"')"
    start_jitsud && wait_held www && summon www > "$dir/before" || return 1
    ctl stop www > "$dir/out" 2>&1 && fail "it was stopped"
    local result=0
    grep -q 'could not be saved.*MiB left' "$dir/out" || fail "no reason: $(cat "$dir/out")" || result=1
    is_state www up && page 10.77.0.20 | grep -q '^boot 1$' || fail "it does not serve any more" || result=1
    mount -o remount,size=200M "$dir/small"
    ctl stop www && is_state www saved || fail "it is $(state_of www)" || result=1
    umount -l "$dir/small"
    return $result
}

# libvirt keeps it, and virsh knows of it.
test_existing_domain() {
    [ -n "${LONG:-}" ] || skip "takes LONG=1"
    start_libvirtd && define_domain vm1 30 || return 1
    configure "$(domain_service vm1 30 stop '"save"')"
    start_jitsud && summon vm1 > "$dir/before" || return 1
    ctl stop vm1 && is_state vm1 saved || fail "it is $(state_of vm1): $(ctl why vm1)" || return 1
    vsh list --all --with-managed-save --name | grep -q '^vm1$' || fail "virsh does not know: $(vsh list --all)" || return 1
    kill -9 "$(process_pid launcher)"
    wait_until "$patience" is_state vm1 saved || fail "then it is $(state_of vm1)" || return 1
    summon vm1 > "$dir/after" || fail "no page" || return 1
    [ "$(sed -n 's/^boot //p' "$dir/after")" = "$(sed -n 's/^boot //p' "$dir/before")" ] || fail "it was booted" || return 1
    vsh managedsave vm1 > /dev/null # by hand
    wait_state vm1 saved || fail "saved by hand it is $(state_of vm1)" || return 1
    summon vm1 | grep -q "^$(grep '^boot' "$dir/before")\$" || fail "it was booted"
}

test_linux() {
    [ -n "${LONG:-}" ] || skip "takes LONG=1"
    [ -f "$dir/images/linux" ] || skip "the Linux guest is not built (make guests-linux)"
    configure "$(service www 20 stop '"save"' machine.kernel "\"$dir/images/linux\"" machine.initrd "\"$dir/images/initrd\"" \
        machine.memory '"96MiB"' machine.machine '"pc"' max_hold '"60s"' start_timeout '"60s"' \
        machine.cmdline '"console=ttyS0 quiet panic=-1 ip={ip}/{prefix} name={name} boot={boot}"')"
    start_jitsud && save_www && expect_restored
}

run_tests "$@"
