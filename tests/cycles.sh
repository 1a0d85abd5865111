# Many wakes and stops of www, and what is there before and after them.  Sourced by tests/system/cycles.sh and
# tests/xen/suite.sh, whose inventory() says what a VM is made of: a line for each thing, its kind first.
# shellcheck shell=bash
# shellcheck disable=SC2012,SC2154 # (what lib.sh has)

descriptors_of() { ls "/proc/$2/fd" | sed "s/.*/fd $1/"; } # descriptors_of NAME PID

our_descriptors() {
    local file
    for file in "$dir"/run/pids/*; do descriptors_of "${file##*/}" "$(process_pid "${file##*/}")"; done
    descriptors_of supervisor "$jitsud_pid"
}

take_inventory() { { inventory; our_descriptors; } | sort > "$dir/$1"; } # take_inventory before|after
is_as_before() { take_inventory after && cmp -s "$dir/before" "$dir/after"; }
is_steady() { take_inventory before && sleep 1 && is_as_before; }

count_kinds() { # count_kinds before|after
    local kind
    for kind in domain link fdb store file process fd; do
        printf '%s %s, ' "$kind" "$(grep -c "^$kind " "$dir/$1")"
    done
}

wake_and_stop() { # wake_and_stop BOOT
    page 10.77.0.20 | grep -q "^boot $1\$" ||
        fail "no page of boot $1: $(ctl trace www -n 1) $(ctl console www | tail -n 4)" || return 1
    ctl stop www > /dev/null || fail "boot $1 cannot be stopped: it is $(state_of www)"
}

# The first two rounds make what stays: logs, caches.
cycles_leave_nothing() { # cycles_leave_nothing ROUNDS
    local i began
    for i in 1 2; do wake_and_stop $i || return 1; done
    wait_until "$patience" is_steady || fail "it does not settle: $(diff "$dir/before" "$dir/after")" || return 1
    began=$SECONDS
    for i in $(seq "$1"); do wake_and_stop $((i + 2)) || return 1; done
    began=$((SECONDS - began))
    wait_until "$patience" is_as_before || fail "after $1 rounds: $(diff "$dir/before" "$dir/after")" || return 1
    note "$1 rounds in $began s; before: $(count_kinds before)after: $(count_kinds after)the same"
}
