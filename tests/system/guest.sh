#!/bin/bash
# What guests say: that they are ready, busy, idle, and do not want to be stopped.
# shellcheck disable=SC1091,SC2154,SC2016
. "$(dirname "$0")/lib.sh"

www=10.77.0.20

guest_says() { in_client curl -sf --noproxy '*' -m 10 "http://$www/say?${1// /+}" > /dev/null || fail "it cannot be told"; }
kept_up_by() { ctl why www | grep -q "$1"; }
not_kept_up_by() { ! kept_up_by "$1"; }
is_busy() { kept_up_by 'it says that it is busy'; }
has_lease() { kept_up_by 'the guest: lease'; }
why() { fail "$1, and it is $(state_of www): $(ctl why www)"; }

test_ready_when_the_guest_says_so() {
    configure "$(service www 20 ready '["tcp","guest"]' machine.cmdline "$(guest ready_delay=1500)")" \
        "$(service other 21 machine.cmdline "$(guest ready_delay=60000)")"
    start_jitsud || return 1
    local begun; begun=$(now_ms)
    ask www > /dev/null || fail "no answer" || return 1
    [ $(($(now_ms) - begun)) -ge 1500 ] || fail "it was answered before the guest was ready" || return 1
    [ "$(field guest_ready www)" = true ] || fail "show: $(ctl show www)" || return 1
    ask other > /dev/null || return 1 # one that need not say it is not waited for
    [ "$(field guest_ready other)" = false ] || fail "other: $(ctl show other)"
}

test_busy_and_leases_keep_it_up() {
    configure "$(service www 20 idle_timeout '"1s"' dns_horizon '"0s"')"
    start_jitsud || return 1
    summon www > /dev/null || return 1
    guest_says busy || return 1
    wait_until 10 is_busy || why "it was busy" || return 1
    sleep 3
    is_state www up || why "it is busy" || return 1
    guest_says idle || return 1
    wait_state www off 20 || why "it is idle" || return 1
    summon www | grep -q '^boot 2$' || fail "no second boot" || return 1
    local begun; begun=$(now_ms)
    guest_says 'lease 4' || return 1
    wait_until 10 has_lease || why "it has a lease" || return 1
    wait_state www off 30 || why "its lease is over" || return 1
    [ $(($(now_ms) - begun)) -ge 4000 ] || fail "it was stopped before its lease was over"
}

# What is no message does nothing, costs little, and is told once.
test_a_guest_that_shouts() {
    configure "$(service www 20 idle_timeout '"2s"' dns_horizon '"0s"')" "$(service other 21)"
    start_jitsud || return 1
    summon www > /dev/null || return 1
    in_client curl -sf --noproxy '*' -m 10 "http://$www/shout?times=1000000" > /dev/null || return 1
    local net before after
    net=$(process_pid synproxy)
    before=$(awk '{ print $14 + $15 }' "/proc/$net/stat")
    summon other > /dev/null || fail "others must wait for it" || return 1
    wait_state www off 30 || why "it only shouts" || return 1
    after=$(awk '{ print $14 + $15 }' "/proc/$net/stat")
    [ $((after - before)) -lt 100 ] || fail "synproxy took $((after - before)) ticks for it" || return 1
    [ "$(grep -c 'says what is no message' "$dir/log")" = 1 ] ||
        fail "the log tells it $(grep -c 'says what is no message' "$dir/log") times" || return 1
    summon www | grep -q '^boot 2$' || fail "no second boot"
}

# jitsud goes and comes back, and so does each process alone: the guest is still heard, and what it said is known.
test_it_is_heard_again() {
    configure "$(service www 20 idle_timeout '"3s"' dns_horizon '"0s"')"
    start_jitsud || return 1
    summon www > /dev/null || return 1
    guest_says busy || return 1
    wait_until 10 is_busy || why "it was busy" || return 1
    local process
    for process in launcher synproxy local; do
        kill -9 "$(process_pid $process)" || fail "there is no $process" || return 1
        sleep 1
        wait_until 30 is_state www up || why "without $process" || return 1
        guest_says 'lease 60' || return 1
        wait_until 10 has_lease || why "$process is a new one" || return 1
        guest_says 'lease 0' || return 1
        wait_until 10 not_kept_up_by 'the guest: lease' || why "$process is a new one" || return 1
        is_busy || why "it was busy before $process ended" || return 1
    done
    stop_jitsud
    start_jitsud || return 1
    wait_until 10 is_busy || why "it was busy before jitsud ended" || return 1
    sleep 1.5 # QEMU tries again each second
    guest_says idle || return 1
    wait_state www off 30 || why "it is idle"
}

# scripts/guest/jitsu-say, in a root of its own: by a port with or without udev, by XenStore, and without any of them.
test_script() {
    local root=$dir/root stub=$dir/stub say=$top/scripts/guest/jitsu-say
    mkdir -p "$root/dev/virtio-ports" "$root/sys/class/virtio-ports/vport1p1" "$root/sys/class/virtio-ports/vport1p2" "$stub"
    ln -s /bin/sleep /bin/cat "$stub/" # and no tools of XenStore
    jitsu_say() { JITSU_SAY_ROOT=$root JITSU_SAY_PATIENCE=1 PATH=$stub "$say" "$@" 2> "$dir/said"; }
    jitsu_say && fail "nothing was said, and it is content" && return 1
    jitsu_say hello && fail "it says anything" && return 1
    jitsu_say lease soon && fail "it says any lease" && return 1
    jitsu_say ready && fail "nobody was there, and it is content" && return 1
    grep -q 'neither a port nor XenStore' "$dir/said" || fail "it said: $(cat "$dir/said")" || return 1
    echo org.qemu.guest_agent.0 > "$root/sys/class/virtio-ports/vport1p1/name"
    echo org.jitsu.guest.0 > "$root/sys/class/virtio-ports/vport1p2/name"
    jitsu_say ready lease 30 || fail "it failed: $(cat "$dir/said")" || return 1
    [ "$(cat "$root/dev/vport1p2")" = 'ready lease 30' ] || fail "said: $(cat "$root/dev/vport1p2")" || return 1
    : > "$root/dev/virtio-ports/org.jitsu.guest.0"
    jitsu_say busy || fail "it failed: $(cat "$dir/said")" || return 1
    [ "$(cat "$root/dev/virtio-ports/org.jitsu.guest.0")" = busy ] || fail "udev's link is not taken" || return 1
    rm "$root/dev/virtio-ports/org.jitsu.guest.0"
    mkfifo "$root/dev/virtio-ports/org.jitsu.guest.0"
    jitsu_say busy && fail "nobody listens, and it is content" && return 1
    grep -q 'nobody hears it' "$dir/said" || fail "it said: $(cat "$dir/said")" || return 1
    rm -r "$root"
    printf '#!/bin/sh\ncat "%s/key" 2> /dev/null\n' "$dir" > "$stub/xenstore-read"
    printf '#!/bin/sh\necho "$1=$2" >> "%s/written"\necho "$2" > "%s/key"\n' "$dir" "$dir" > "$stub/xenstore-write"
    chmod 755 "$stub"/xenstore-*
    jitsu_say busy && jitsu_say ready && jitsu_say idle lease 5 || fail "it failed: $(cat "$dir/said")" || return 1
    [ "$(cat "$dir/written")" = "$(printf 'data/jitsu=%s\n' busy ready 'ready idle lease 5')" ] ||
        fail "written: $(cat "$dir/written")"
}

# Linux, by scripts/guest/jitsu-say.
test_linux_guest() {
    [ -f "$dir/images/linux" ] || skip "the Linux guest is not built (make guests-linux)"
    configure "$(service lin 30 start_timeout '"120s"' max_hold '"120s"' machine.kernel "\"$dir/images/linux\"" \
        machine.initrd "\"$dir/images/initrd\"" machine.memory '"128MiB"' ready '["guest"]' \
        machine.cmdline "\"console=ttyS0 quiet panic=-1 tsc_early_khz=$(tsc_khz) ip={ip}/{prefix} name={name}\"")"
    start_jitsud || return 1
    wait_until 120 ctl start lin || fail "it did not start: $(ctl why lin)" || return 1
    [ "$(field guest_ready lin)" = true ] || fail "show: $(ctl show lin)"
}

run_tests "$@"
