#!/bin/bash
# What the suite in dom0 shares with tests/system/lib.sh, and what is otherwise on Xen: VMs are domains, their ports
# are vifs, which netback makes in the first network namespace.  So that is the "host" here, and what a test has made
# in it is removed by name.  Sourced, in dom0.

# shellcheck disable=SC2034,SC2154,SC2012
PATIENCE=${PATIENCE:-120}
hypervisors='{"name": "local", "uri": "libxl:///"}'
# shellcheck disable=SC1091
. /host/source/tests/system/lib.sh

make_networks() {
    ip netns attach "$host" 1 && ip netns add "$client" || return 1
    ip -n "$client" link set lo up
    ip link add br0 address 02:00:00:77:00:01 type bridge stp_state 0 forward_delay 0 mcast_snooping 0
    ip addr add "$host_ip/24" dev br0
    ip addr add fd77::1/64 dev br0 nodad
    ip link set br0 up
    ip link add c0 type veth peer name eth0 netns "$client"
    ip link set c0 master br0 up
    ip -n "$client" addr add "$client_ip/24" dev eth0
    ip -n "$client" addr add fd77::2/64 dev eth0 nodad
    ip -n "$client" link set eth0 up
}

remove_networks() {
    ip link del c0
    ip link del br0
    ip netns del "$client"
    ip netns del "$host"
} 2> /dev/null

# ---- domains ----

# (XenStore knows at once; xl takes half a second)
domid_named() { # domid_named NAME
    local domid
    for domid in $(xenstore-list /local/domain 2> /dev/null); do
        [ "$(xenstore-read "/local/domain/$domid/name" 2> /dev/null)" != "$1" ] || echo "$domid"
    done
}
domid_of() { domid_named "jitsu-$1"; }
domains() { # their names
    local domid
    for domid in $(xenstore-list /local/domain 2> /dev/null); do
        [ "$domid" = 0 ] || xenstore-read "/local/domain/$domid/name" 2> /dev/null
    done
}
vifs() { ip -o link show | sed -n 's/^[0-9]*: \(vif[^:@]*\).*/\1/p'; }

our_vms() { domains | grep '^jitsu-'; }
our_qemus() { :; } # what a kill would end
qemu_of() { domid_of "$1"; }

nothing_runs() { [ -z "$(domains)$(vifs)" ]; }

destroy_domains() {
    local domain
    for domain in $(domains); do xl destroy "$domain" 2> /dev/null; done
    wait_until 20 nothing_runs
}

# How somebody else would describe a domain, in $dir/images/NAME.cfg.
write_xl_config() { # write_xl_config NAME LAST-OCTET SCRIPT
    cat > "$dir/images/$1.cfg" <<END
name = "$1"
type = "$guest_type"
kernel = "$dir/images/www.elf"
memory = 8
vcpus = 1
cmdline = "ip=10.77.0.$2/24 name=$1 boot=1"
vif = [ "bridge=br0,mac=00:16:3e:77:00:$2,script=$3" ]
END
}

# ---- jitsud ----

wait_connected() { wait_until "$patience" hypervisor_ready || fail "libxl is not connected"; }
keep_warm() { :; }

end_leftovers() {
    local file
    for file in "$dir"/run/pids/*; do
        [ -f "$file" ] && kill -9 "$(cut -d' ' -f1 "$file")" 2> /dev/null
    done
    destroy_domains
}

# ---- what may be left ----

# Everything that a VM is made of, a line each: what is there after a test must have been there before it.
inventory() {
    xl list | awk 'NR > 1 { print "domain", $1 }'
    ip -o link show | sed -n 's/^[0-9]*: \([^:@]*\).*/link \1/p'
    bridge fdb show br br0 2> /dev/null | grep -v permanent | sed 's/^/fdb /'
    xenstore-ls -f 2> /dev/null | grep -v '^/tool\|^/vm/00000000\|/domain/0/memory\|/libxl/0' |
        sed 's/ = .*//; s/^/store /'
    find "$dir/run" "$dir/state" /var/run/jitsu-xen /var/lib/xen -type f 2> /dev/null | sed 's/^/file /'
    ps -eo comm --no-headers | awk '!/^(kworker|ps|awk|bash|irq|migration)/ { print "process", $1 }' | sort
}
