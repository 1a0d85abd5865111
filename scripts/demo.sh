#!/bin/bash
# The demo: services whose VMs are off, and a client that knows nothing of it: it looks a name up, or just
# connects, and is held until the VM is there.
# Needs root; everything happens in network namespaces of its own and is removed at the end.
set -u
hold=park
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
conflict_probe=300ms
linux=
if [ -f "$dir/images/linux" ]; then
    linux=$(service web 30 start_timeout '"120s"' max_hold '"120s"' idle_timeout '"5s"' dns_grace '"5s"' \
        machine.kernel "\"$dir/images/linux\"" machine.initrd "\"$dir/images/initrd\"" machine.memory '"256MiB"' \
        machine.cmdline "\"console=ttyS0 quiet panic=-1 tsc_early_khz=$(tsc_khz) ip={ip}/{prefix} gw={gw} name={name} boot={boot}\"")
fi
configure "$(service www 20 idle_timeout '"5s"' dns_grace '"5s"')" \
    "$(service shell 22 idle_timeout '"5s"' ports '[22]' \
        machine.cmdline "$(guest banner=1)")" ${linux:+"$linux"}

step "A host with a bridge, a client beside it, and jitsud with sleeping services"
note "starting jitsud (the first start asks QEMU what it can do: a few seconds)"
start_jitsud || give_up "jitsud does not start"
wait_until 60 grep -q 'connected: libvirt' "$dir/log" || give_up "libvirt does not answer"
wait_held www shell ${linux:+web} || give_up "clients are not held"
operator list
[ -z "$(our_vms)" ] || give_up "a VM runs already"
note "no QEMU runs for them; jitsud has looked whether anybody else has their addresses, and answers for them"

step "The client looks the name up: the answer comes at once, and the VM is on its way"
client dig +noall +answer +stats +tries=1 +time=30 www.jitsu.example A | grep -v '^;; \(SERVER\|WHEN\|MSG\)\|^$' ||
    give_up "no answer"
step "The client connects: its SYN is held, and given to the VM when its port is open"
client curl -sS -m 30 http://www.jitsu.example/ || give_up "no page"
step "What happened in between, in milliseconds"
wait_until 2 eval 'ctl --json trace www -n 1 | grep -q first_byte' # it is looked for now and then only
operator trace www || give_up "no trace"

step "No name at all: a connection to the address wakes the VM, and the server speaks first"
note "(as SSH and SMTP do; 10.77.0.22 is off, and nobody has asked for its name)"
# shellcheck disable=SC2016 # the client's own words
client bash -c 'exec 3<> /dev/tcp/10.77.0.22/22 && head -n 1 <&3' | tee "$dir/greeting"
grep -q '^name shell ready' "$dir/greeting" || give_up "no greeting"
wait_until 2 eval 'ctl --json trace shell -n 1 | grep -q first_byte'
operator trace shell || give_up "no trace"

if [ -n "$linux" ]; then
    step "The same with a Linux guest, which takes its time; who is held meanwhile"
    client curl -sS -m 120 http://web.jitsu.example/ > "$dir/page" &
    asking=$!
    wait_until 60 eval '[ "$(flows_of web)" -gt 0 ]' || give_up "nobody is held"
    sleep 0.7
    cat "$dir/page"
    operator flows
    wait $asking || give_up "no page of the Linux guest"
    grep -v 'client\$' "$dir/page"
    wait_until 3 eval 'ctl --json trace web | grep -q t_first_byte_us' # it is looked for now and then
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

step "And the next client wakes it again, with the address it still knows: boot 2"
client curl -sS -m 60 --resolve www.jitsu.example:80:10.77.0.20 http://www.jitsu.example/ | tee "$dir/page"
grep -q '^boot 2$' "$dir/page" || give_up "not the second boot"

step "Done; cleaning up"
cat <<END
What to try next:
  - README.md, "A real KVM host": jitsud on your own bridge, with your own images
  - man -l man/jitsud.conf.5       every option of the file
  - build/jitsuctl help            what an operator can ask
  - make check                     every test;  make bench BENCH=hold: how fast it is
END
