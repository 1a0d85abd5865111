#!/bin/bash
# Many wakes and stops leave nothing behind, on a libvirt of our own and on one that was there.  (On Xen: tests/xen.)
hold=park
. "$(dirname "$0")/lib.sh"
. "$here/../cycles.sh"

# A libvirtd has directories of its own here.
libvirtd_files() {
    local place
    for place in run/libvirt var/lib/libvirt var/log/libvirt; do echo "/proc/$libvirtd_pid/root/$place"; done
}

inventory() {
    local pid files=("$dir/run" "$dir/state")
    for pid in $(our_qemus); do echo "domain $(tr '\0' '\n' < "/proc/$pid/cmdline" | grep '^guest=')"; done
    in_host ip -o link | sed -n 's/^[0-9]*: \([^:@]*\).*/link \1/p'
    in_host bridge fdb show br br0 | grep -v permanent | sed 's/^/fdb /'
    if [ -n "${libvirtd_pid:-}" ]; then
        vsh list --all --name | sed -n 's/..*/domain of libvirtd &/p'
        mapfile -t -O 2 files < <(libvirtd_files)
        descriptors_of libvirtd "$libvirtd_pid"
    fi
    find "${files[@]}" ! -type d 2> /dev/null | sed 's/^/file /'
    pgrep -f "$dir/" | while read -r pid; do echo "process $(cat "/proc/$pid/comm")"; done
}

test_cycles() {
    configure "$(service www 20)"
    start_jitsud && wait_held www || return 1
    cycles_leave_nothing "$(rounds 5 200 | tail -n 1)"
}

test_cycles_on_libvirtd() {
    [ -n "${LONG:-}" ] || skip "in check-long"
    start_libvirtd || return 1
    configure "$(service www 20)"
    start_jitsud && wait_held www || return 1
    cycles_leave_nothing 200
}

run_tests "$@"
