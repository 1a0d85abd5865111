#!/bin/bash
# The demo: two services whose VMs are off, a client that knows nothing of it, and a DNS query.
# Needs root; everything happens in network namespaces of its own and is removed at the end.
set -u
. "$(dirname "$0")/../tests/system/lib.sh"
[ "$(id -u)" = 0 ] || { echo "make demo needs root: it makes network namespaces and starts VMs" >&2; exit 1; }

bold=
dim=
plain=
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$(printf '\033[1m') dim=$(printf '\033[2m') plain=$(printf '\033[0m')
fi

step() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
note() { printf '%s   %s%s\n' "$dim" "$*" "$plain"; }
give_up() { printf '\nThe demo failed: %s\nThe daemon said:\n' "$*" >&2; tail -30 "$dir/log" >&2; exit 1; }

# Runs a command in the client, shown as the client would type it.
client() {
    printf '%sclient$ %s%s\n' "$bold" "$*" "$plain"
    ip netns exec "$client" "$@"
}
operator() {
    printf '%shost# jitsuctl %s%s\n' "$bold" "$*" "$plain"
    ctl "$@"
}

clean_up_demo() {
    rm -rf "/etc/netns/$client"
    rmdir /etc/netns 2>/dev/null
    clean_up
}

trap clean_up_demo EXIT
trap 'exit 1' INT TERM
make_dir && make_networks || { echo "cannot make network namespaces" >&2; exit 1; }
mkdir -p "/etc/netns/$client"
echo "nameserver $host_ip
options timeout:20 attempts:2" > "/etc/netns/$client/resolv.conf"

isolation=fast
linux=
if [ -f "$dir/images/linux" ]; then
    linux=$(service web 30 start_timeout '"120s"' max_hold '"120s"' idle_timeout '"5s"' dns_horizon '"5s"' \
        machine.kernel "\"$dir/images/linux\"" machine.initrd "\"$dir/images/initrd\"" machine.memory '"256MiB"' \
        machine.cmdline "\"console=ttyS0 quiet panic=-1 tsc_early_khz=$(tsc_khz) ip={ip}/{prefix} gw={gw} name={name} boot={boot}\"")
fi
configure "$(service www 20 idle_timeout '"5s"' dns_horizon '"5s"')" ${linux:+"$linux"}

step "A host with a bridge, a client beside it, and jitsud with sleeping services"
note "starting jitsud (the first start asks QEMU what it can do: a few seconds)"
start_jitsud || give_up "jitsud does not start"
wait_until 60 grep -q 'connected: libvirt' "$dir/log" || give_up "libvirt does not answer"
operator list
[ -z "$(our_vms)" ] || give_up "a VM runs already"
note "no QEMU runs for them"

step "The client looks the name up, and that is all it takes"
client dig +noall +answer +tries=1 +time=30 www.jitsu.example A || give_up "no answer"
step "The VM that was off a moment ago serves its page"
client curl -sS -m 30 http://www.jitsu.example/ || give_up "no page"
step "What happened in between, in milliseconds"
operator trace www || give_up "no trace"

if [ -n "$linux" ]; then
    step "The same with a Linux guest: one curl, which resolves, waits for the boot, and connects"
    client curl -sS -m 120 http://web.jitsu.example/ || give_up "no page of the Linux guest"
    operator trace web
fi
operator list

step "Nobody uses them: they go away (idle_timeout is 5 s here)"
for _ in $(seq 60); do
    [ -z "$(our_vms)" ] && break
    printf '.'
    sleep 1
done
echo
[ -z "$(our_vms)" ] || give_up "they do not stop"
operator list
operator why www

step "And the next client wakes it again: boot 2"
client curl -sS -m 60 http://www.jitsu.example/ | tee "$dir/page"
grep -q '^boot 2$' "$dir/page" || give_up "not the second boot"

step "Done; cleaning up"
cat <<END
What to try next:
  - README.md, "A real KVM host": jitsud on your own bridge, with your own images
  - man -l man/jitsud.conf.5       every option of the file
  - build/jitsuctl help            what an operator can ask
  - make check                     every test;  make bench BENCH=summon: how fast it is
END
